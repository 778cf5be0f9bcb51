import asyncio

import numpy as np
import orjson
import pytest

from tf4dvar.serving.protocol import Limits
from tf4dvar.serving.replica import Prediction
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


class Answering:
    """In place of replicas: one answer to everything."""

    ready = True

    async def ask(self, question):
        return Prediction({"state": STATE}, 1, 1, [False])


@pytest.fixture
def rest():
    return Rest(Answering(), "tf4dvar", Limits())


def answered(rest, client):
    async def receive():
        return {"type": "http.request", "body": BODY, "more_body": False}

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/models/tf4dvar:predict",
        "headers": [],
        "query_string": b"",
        "server": ("127.0.0.1", 1),
    }
    asyncio.run(asyncio.wait_for(rest.application()(scope, receive, client), 30))
    return client


def test_an_answer_goes_out_in_pieces_and_whole(rest):
    start, *pieces = answered(rest, Reading(rest, None)).messages
    body = b"".join(piece["body"] for piece in pieces)
    assert np.array_equal(orjson.loads(body)["predictions"], STATE)
    assert dict(start["headers"])[b"content-length"] == str(len(body)).encode()
    assert len(pieces) > 2
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_an_answer_that_nobody_fetches_is_let_go(rest, caplog, monkeypatch):
    """It counts as in progress, and ends with the time."""
    ask = rest.pool.ask

    async def ask_and_hurry(question):
        # The time to answer is measured already: what comes is the time to fetch it.
        rest.limits = Limits(seconds=0.01)
        return await ask(question)

    monkeypatch.setattr(rest.pool, "ask", ask_and_hurry)
    client = answered(rest, Reading(rest, 2))
    assert client.messages[-1]["more_body"]
    assert set(client.in_progress) == {1}
    assert rest.in_progress == 0
    assert "not fetched" in caplog.text
