"""TensorFlow Serving's REST API: routes, limits, errors, metrics and logs."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tf4dvar.serving.client import SUSPECT_HEADER
from tf4dvar.serving.pool import Pool
from tf4dvar.serving.protocol import Limits, Refusal, parse_call, render_answer
from tf4dvar.serving.replica import Prediction, Question

logger = logging.getLogger(__name__)

# Bytes of an answer that are sent at once: no more of it waits in buffers for a slow reader.
PIECE = 2**16

REQUESTS = Counter("tf4dvar_requests", "Requests answered.", ["endpoint", "status"])
SECONDS = Histogram("tf4dvar_request_seconds", "From request to answer.", ["endpoint"])
IN_PROGRESS = Gauge("tf4dvar_requests_in_progress", "Requests not yet answered.")
WINDOWS = Counter("tf4dvar_windows", "Windows reconstructed.")
SUSPECT = Counter("tf4dvar_suspect_windows", "Windows whose states do not fit their observations.")
BATCH = Histogram(
    "tf4dvar_batch_windows",
    "Windows computed together, seen by each request.",
    buckets=[2**k for k in range(11)],
)


class Rest:
    """The routes, and what is asked of the replicas for them.

    Args:
        pool: of the replicas.
        name: of the model.
        limits: of a request.
    """

    def __init__(self, pool: Pool, name: str, limits: Limits):
        self.pool = pool
        self.name = name
        self.limits = limits
        self.in_progress = 0
        IN_PROGRESS.set_function(lambda: self.in_progress)

    def application(self) -> Starlette:
        """What an HTTP server calls."""
        routes = [
            # The longer ones first: a name may hold a colon.
            Route(path + ending, _Endpoint(self, handler, methods))
            for path in ("/v1/models/{name}", "/v1/models/{name}/versions/{version}")
            for ending, handler, methods in (
                (":predict", self.predict, ("POST",)),
                ("/metadata", self.metadata, ("GET", "HEAD")),
                ("", self.status, ("GET", "HEAD")),
            )
        ]
        routes += [Route("/health", self.health), Route("/metrics", _metrics)]
        return Starlette(routes=routes, exception_handlers={HTTPException: _http_error})

    async def health(self, request: Request) -> Response:
        """Whether a replica is ready."""
        ready = self.pool.ready
        return PlainTextResponse("ok" if ready else "not ready", 200 if ready else 503)

    async def status(self, request: Request) -> Response:
        """The states of the versions, or of one."""
        return _json(await self._ask(request, "status"))

    async def metadata(self, request: Request) -> Response:
        """The signatures of a version, and what its model was trained on."""
        number, metadata = await self._ask(request, "metadata")
        spec = {"name": self.name, "signature_name": "", "version": str(number)}
        return _json({"model_spec": spec, "metadata": metadata})

    async def predict(self, request: Request) -> Response:
        """The states of a request's windows."""
        self._check_name(request)
        call = parse_call(await _body(request, self.limits.body), self.limits)
        prediction: Prediction = await self._ask(request, call)
        suspect = prediction.suspect
        request.state.log = {
            "windows": len(call.observations),
            "suspect": len(suspect),
            "version": prediction.version,
        }
        WINDOWS.inc(len(call.observations))
        SUSPECT.inc(len(suspect))
        BATCH.observe(prediction.batch)
        headers = {SUSPECT_HEADER: ",".join(map(str, suspect))} if suspect else None
        return _json(render_answer(prediction.outputs, call.by_rows), headers=headers)

    async def _ask(self, request: Request, about: Any) -> Any:
        """Put a question to a replica and wait for the answer."""
        self._check_name(request)
        deadline = time.monotonic() + self.limits.seconds
        return await self.pool.ask(Question(_version(request), about, deadline))

    async def _within_limits(
        self, handler: Callable[[Request], Awaitable[Response]], request: Request
    ) -> Response:
        if self.in_progress > self.limits.requests:
            raise Refusal(503, f"{self.limits.requests} requests are in progress; try again.")
        try:
            return await asyncio.wait_for(handler(request), self.limits.seconds)
        except TimeoutError:
            raise Refusal(504, f"There was no answer after {self.limits.seconds} s.") from None

    def _check_name(self, request: Request) -> None:
        if request.path_params["name"] != self.name:
            raise Refusal(404, f"Servable not found for request: this server has {self.name!r}.")


@dataclass
class _Endpoint:
    """An ASGI application: a handler within the limits, its errors as JSON, counted, timed, logged.

    Args:
        rest: whose limits and requests in progress they are.
        handler: of `rest`.
        methods: those it is for.
    """

    rest: Rest
    handler: Callable[[Request], Awaitable[Response]]
    methods: tuple[str, ...]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.rest.in_progress += 1
        try:
            response = await self._answer(Request(scope, receive))
            # It is in progress as long as it is not fetched: it takes memory.
            await asyncio.wait_for(_send(response, send), self.rest.limits.seconds)
        except TimeoutError:
            # Unfinished, which closes the connection.
            logger.warning("The answer was not fetched in %g s", self.rest.limits.seconds)
        finally:
            self.rest.in_progress -= 1

    async def _answer(self, request: Request) -> Response:
        started = time.perf_counter()
        try:
            if request.method not in self.methods:
                raise HTTPException(405, headers={"Allow": ", ".join(self.methods)})
            response = await self.rest._within_limits(self.handler, request)
        except HTTPException as error:
            response = await _http_error(request, error)
        except Refusal as refusal:
            response = _error(refusal.status, refusal.message)
        except ClientDisconnect:
            response = _error(400, "The client went away.")
        except Exception:
            logger.exception("The request failed")
            response = _error(500, "The server failed; its log says how.")
        seconds = time.perf_counter() - started
        endpoint = self.handler.__name__
        REQUESTS.labels(endpoint, response.status_code).inc()
        SECONDS.labels(endpoint).observe(seconds)
        fields = {
            "method": request.method,
            "path": request.url.path,
            "status": response.status_code,
            "ms": round(1e3 * seconds, 2),
            **getattr(request.state, "log", {}),
        }
        logger.info("request", extra={"fields": fields})
        return response


async def _send(response: Response, send: Send) -> None:
    """Send an answer in pieces, each when the one before it was taken."""
    await send(
        {
            "type": "http.response.start",
            "status": response.status_code,
            "headers": response.raw_headers,
        }
    )
    size = len(response.body)
    for start in range(0, size, PIECE):
        end = start + PIECE
        piece = bytes(response.body[start:end])
        await send({"type": "http.response.body", "body": piece, "more_body": end < size})


def _version(request: Request) -> int | None:
    """The number of the version in the path, if one is there."""
    text = request.path_params.get("version")
    if text is None:
        return None
    # Longer ones are no numbers of directories, and Python reads no more than 4300 digits.
    if not (text.isascii() and text.isdigit() and len(text) <= 19):
        raise Refusal(404, "Servable not found for request: the version is not a number.")
    return int(text)


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit."""
    too_large = Refusal(413, f"The body is larger than the limit of {limit} bytes; split it.")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise too_large
    return bytes(body)


async def _metrics(request: Request) -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # it is registered for no other
    message = f"{request.method} {request.url.path}: {error.detail}."
    return _error(error.status_code, message, error.headers)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    body = value if isinstance(value, bytes) else orjson.dumps(value)
    return Response(body, status, headers, media_type="application/json")


def _error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    return _json({"error": message}, status, headers)
