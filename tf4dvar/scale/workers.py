"""Worker processes on Ray, on this machine or a cluster."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from types import ModuleType
from typing import Any

from tf4dvar.errors import InputError, first_line
from tf4dvar.own_code import IMPORTED, import_own

logger = logging.getLogger(__name__)

# A worker has one processor: more threads than that would only wait for each other.
ONE_THREAD = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
}
# How often a call is tried again whose worker died: once among others, and once alone.
RETRIES = 1

Spread = Callable[[Iterable[tuple[Any, tuple]]], Iterator[tuple[Any, Any]]]
"""Takes pairs of a key and the arguments of a call; gives, in any order, each key with the result,
or with an `InputError` if every worker that tried died. Two calls a worker are read ahead."""


@contextmanager
def ray_workers(
    workers: int, address: str | None, make: Callable[..., Callable], *args: Any
) -> Iterator[Spread]:
    """Processes that each have the same function and call it on what they are given.

    A worker that dies is started again, and what it was at is given to it once more.

    Args:
        workers: number of processes, of one processor each.
        address: of the cluster, `ray://host:10001` or, on a machine of it, `auto`; None starts
            Ray on this machine for the time being.
        make: makes the function in every worker, from the arguments that follow it here.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    with ray_at(address, workers) as ray:
        actor_class: Any = ray.remote(_Worker).options(
            num_cpus=1,
            max_restarts=-1,
            max_task_retries=RETRIES,
            runtime_env={"env_vars": ONE_THREAD},
        )
        # A worker that is started again needs them: this reference keeps them.
        kept = [ray.put(arg) for arg in args]
        actors = [actor_class.remote(IMPORTED, make, *kept) for _ in range(workers)]
        try:
            yield lambda calls: _spread(ray, actors, calls)
        finally:
            for actor in actors:
                ray.kill(actor)


@contextmanager
def ray_at(address: str | None, workers: int) -> Iterator[ModuleType]:
    """Ray, connected to a cluster or started on this machine for the time being.

    In a program in which Ray runs already it is that Ray, left running.

    Args:
        address, workers: see `ray_workers`.

    Raises:
        InputError: Ray is not installed, or there is no cluster at the address.
    """
    try:
        import ray
    except ImportError as error:
        raise InputError(
            "Workers need Ray, which is not installed: pip install '.[ray]' in a checkout of "
            "tf4dvar."
        ) from error
    started_here = not ray.is_initialized()
    if started_here:
        _start(ray, workers, address)
    try:
        # A cluster may grow on demand.
        processors = ray.cluster_resources().get("CPU", 0)
        if processors < workers:
            logger.warning(
                "Ray has %d processors now: the others of the %d workers wait for more.",
                processors,
                workers,
            )
        yield ray
    finally:
        if started_here:
            ray.shutdown()


class _Worker:
    def __init__(self, imported, make, *args):
        for module, folder in imported:
            import_own(module, folder)
        self.function = make(*args)

    def call(self, *args):
        return self.function(*args)


def _start(ray, workers, address):
    try:
        if address is None:
            ray.init("local", num_cpus=workers, include_dashboard=False)
        else:
            ray.init(address)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"There is no Ray cluster at {address} ({error}).") from error


def _spread(ray, actors, calls):
    calls = iter(calls)
    running = {}
    suspects = []

    def give_next_to(actor):
        for key, args in islice(calls, 1):
            running[actor.call.remote(*args)] = actor, key, args

    # The second call waits at the worker while it is at the first.
    for actor in 2 * actors:
        give_next_to(actor)
    while running:
        (done,), _ = ray.wait(list(running), num_returns=1)
        actor, key, args = running.pop(done)
        give_next_to(actor)
        try:
            yield key, ray.get(done)
        except ray.exceptions.RayActorError:
            suspects.append((key, args))
    # Alone on a worker it shows whether it was the call that the others died of.
    for key, args in suspects:
        try:
            yield key, ray.get(actors[0].call.remote(*args))
        except ray.exceptions.RayActorError as error:
            yield key, InputError(f"Every worker that was at it died ({first_line(error)}).")
