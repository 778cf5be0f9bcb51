"""The engine: an HTTP server in the first process, which keeps the replicas."""

import asyncio
import contextlib
import errno
import math
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from tf4dvar.errors import InputError
from tf4dvar.serving.directory import check_directory
from tf4dvar.serving.logs import log_as_json
from tf4dvar.serving.pool import Pool
from tf4dvar.serving.protocol import Limits
from tf4dvar.serving.rest import Rest

# Seconds after the signal in which those who had connected may still ask.
LAST_CALL = 0.2
# Turns of the event loop, more than enough: one takes in who has connected, two set that up, one
# reads.
TURNS = 10


def serve(
    directory: Path,
    host: str = "127.0.0.1",
    port: int = 8501,
    name: str = "tf4dvar",
    replicas: int = 1,
    batch: int = 32,
    limits: Limits = Limits(),  # noqa: B008
    force: bool = False,
) -> None:
    """Serve the versions in a directory until SIGTERM or Ctrl-C.

    What was accepted by then is answered, what comes later refused.

    Args:
        directory: as `tf4dvar export` writes it; versions that appear or vanish are followed.
        host, port: to listen on. `127.0.0.1` is reached from this machine alone.
        name: of the model, in the URLs.
        replicas: processes that hold the model, for machines with cores or GPUs to spare.
        batch: windows computed together, at most.
        limits: the largest request that is taken.
        force: take versions that are not known to be this package's.

    Raises:
        InputError: there is nothing to serve, it is not this package's, or the port is taken.
    """
    check_directory(directory, force)
    listener = _listen(host, port)
    log_as_json()
    pool = Pool(replicas, batch, (directory, batch, limits.values, force))
    config = uvicorn.Config(
        Rest(pool, name, limits).application(),
        log_level="warning",
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        # Unlike httptools, it bounds the headers.
        http="h11",
        # Connections; those that say nothing are bounded too.
        limit_concurrency=4 * limits.requests,
        timeout_graceful_shutdown=math.ceil(limits.seconds),
    )
    asyncio.run(_run(_Server(config), listener, pool))


def _listen(host: str, port: int) -> socket.socket:
    """The port, held from now on: of two servers at once one has it, before either loads."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise InputError(f"Port {port} of {host} is in use; choose another.") from error
    # Its connections inherit it; else the body of an answer waits 40 ms behind its head.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


async def _run(server: uvicorn.Server, listener: socket.socket, pool: Pool) -> None:
    keeper = asyncio.create_task(pool.run())

    def without_replicas(_: asyncio.Task) -> None:
        server.should_exit = True

    keeper.add_done_callback(without_replicas)
    try:
        await server.serve(sockets=[listener])
    finally:
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper


class _Server(uvicorn.Server):
    """Answers all who had connected when the signal came, then ends with 0."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; uvicorn's own would raise the signal again in the end."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take in who waits in the system's queue, which is lost when the socket is closed.

        Then nobody more, before the sockets are closed: asyncio neither sets up nor closes a
        connection that it has just taken in when they are, and its client would wait for ever.
        """
        loop = asyncio.get_running_loop()
        await asyncio.sleep(LAST_CALL)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        for listener in sockets or ():
            loop.remove_reader(listener)
        for _ in range(TURNS):
            await asyncio.sleep(0)
        await super().shutdown(sockets)
