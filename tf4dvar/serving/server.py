"""The engine: LitServe's HTTP process, queue and replicas, started and stopped in good order."""

import multiprocessing
import os
import signal
import socket
import threading
from pathlib import Path

import litserve
from litserve.specs.base import LitSpec

from tf4dvar.errors import InputError
from tf4dvar.serving.directory import check_directory
from tf4dvar.serving.logs import log_as_json
from tf4dvar.serving.protocol import Limits
from tf4dvar.serving.replica import Replica
from tf4dvar.serving.rest import Rest


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
        InputError: there is nothing to serve, or it is not this package's.
        OSError: the port is taken.
    """
    check_directory(directory, force)
    # A port that is taken is told before anything is loaded.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()
    log_as_json()
    replica = Replica(directory, batch, limits.values, force, spec=_Queue())
    server = _Server(
        replica,
        accelerator="cpu",
        workers_per_device=replicas,
        timeout=False,
        restart_workers=True,
        disable_openapi_url=True,
    )
    server.uvicorn_graceful_timeout = limits.seconds
    Rest(server, replica, name, limits).add_routes()
    _stop_at_signals(server)
    # A forked manager would keep the listening socket open.
    multiprocessing.set_start_method("spawn", force=True)
    try:
        server.run(
            host=host,
            port=port,
            num_api_servers=1,
            generate_client_file=False,
            log_level="warning",
            access_log=False,
            log_config=None,
            # Unlike httptools, it bounds the headers.
            http="h11",
            # Connections; those that say nothing are bounded too.
            limit_concurrency=4 * limits.requests,
        )
    except KeyboardInterrupt:
        pass
    except RuntimeError as error:
        raise InputError(f"No replica could load a model; the log says why. ({error})") from error
    finally:
        # Where it did not come to serving.
        for process in multiprocessing.active_children():
            process.terminate()


def _stop_at_signals(server: litserve.LitServer) -> None:
    """SIGTERM and Ctrl-C end `run` in good order: first the HTTP process, then the replicas."""
    main = os.getpid()

    def stop(signum, frame):
        # Inherited by processes that have their own end.
        if os.getpid() != main:
            return
        if server._shutdown_event is None:
            raise KeyboardInterrupt
        # The event is a proxy, whose connection this thread may be using.
        threading.Thread(target=server._shutdown_event.set).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


class _Queue(LitSpec):
    """Names the queue to the replicas; without a spec, LitServe opens a route of its own."""

    def __init__(self):
        super().__init__()
        self.api_path = "/v1"

    def setup(self, server):
        pass

    def decode_request(self, request, context_kwargs=None):
        return request

    def encode_response(self, output, context_kwargs=None):
        return output


class _Server(litserve.LitServer):
    def _start_server(self, port, num_uvicorn_servers, log_level, sockets, *args, **kwargs):
        # `run` has given LitServe's logger its handler back.
        log_as_json()
        workers = super()._start_server(
            port, num_uvicorn_servers, log_level, sockets, *args, **kwargs
        )
        # The HTTP process has its own copy. With this one open, those who come while it stops
        # would be let in and wait for nobody.
        for one in sockets:
            one.close()
        return workers
