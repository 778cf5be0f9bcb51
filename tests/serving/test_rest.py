import asyncio
from types import SimpleNamespace

import numpy as np
import pytest

from tf4dvar.serving import rest as rest_module
from tf4dvar.serving.protocol import Limits
from tf4dvar.serving.rest import Rest

BODY = b'{"instances": [[[1, 2, 3]]]}'
STATE = np.arange(30_000, dtype="float32").reshape(1, -1, 3)


class Reading:
    """A client that takes so many messages of an answer, then no more."""

    def __init__(self, rest, most):
        self.rest = rest
        self.most = most
        self.messages = []
        self.in_progress = []

    async def __call__(self, message):
        self.in_progress.append(self.rest.in_progress)
        if len(self.messages) == self.most:
            await asyncio.Event().wait()
        self.messages.append(message)


@pytest.fixture
def app(monkeypatch):
    """What answers a `:predict`, and its `Rest`."""
    routes = {}

    def add_route(path, endpoint, methods):
        routes[path] = endpoint

    application = SimpleNamespace(
        add_route=add_route, add_exception_handler=lambda *_: None, response_queue_id=0
    )
    rest = Rest(SimpleNamespace(app=application), None, "tf4dvar", Limits())
    rest.add_routes()

    async def ask(request, call):
        return rest_module.Prediction({"state": STATE}, 1, 1)

    monkeypatch.setattr(rest, "_ask", ask)
    return routes["/v1/models/{name}:predict"], rest


def answered(app, client):
    async def receive():
        return {"type": "http.request", "body": BODY, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/models/tf4dvar:predict",
        "headers": [],
        "path_params": {"name": "tf4dvar"},
        "query_string": b"",
        "server": ("127.0.0.1", 1),
    }
    asyncio.run(asyncio.wait_for(app(scope, receive, client), 30))
    return client


def test_an_answer_goes_out_in_pieces_and_whole(app):
    endpoint, rest = app
    start, *pieces = answered(endpoint, Reading(rest, None)).messages
    body = b"".join(piece["body"] for piece in pieces)
    assert np.array_equal(rest_module.orjson.loads(body)["predictions"], STATE)
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()
    assert len(pieces) > 2
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_an_answer_that_nobody_fetches_is_let_go(app, caplog, monkeypatch):
    """It counts as in progress, and ends with the time."""
    endpoint, rest = app
    ask = rest._ask

    async def ask_and_hurry(*question):
        # The time to answer is measured already: what comes is the time to fetch it.
        rest.limits = Limits(seconds=0.01)
        return await ask(*question)

    monkeypatch.setattr(rest, "_ask", ask_and_hurry)
    client = answered(endpoint, Reading(rest, 2))
    assert client.messages[-1]["more_body"]
    assert set(client.in_progress) == {1}
    assert rest.in_progress == 0
    assert "not fetched" in caplog.text
