"""The built-in `map` in several processes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any

from tf4dvar.errors import InputError
from tf4dvar.scale.workers import Spread, ray_workers

# Calls that are sent to a worker at once.
PIECE = 32


@contextmanager
def with_workers(
    workers: int, address: str | None = None
) -> Iterator[Callable[..., Iterator[Any]]]:
    """What takes a function and its arguments as `map` does, and calls it in processes on Ray.

    Results come in the order of the arguments, of which some are read ahead.

    Args:
        workers, address: see `ray_workers`.
    """
    with ray_workers(workers, address, lambda: _all_of) as spread:
        yield partial(_mapped, spread)


def _all_of(
    function: Callable[..., Any], piece: Iterable[tuple[Any, ...]]
) -> list[Any] | InputError:
    """What a worker does; an error is returned, which Ray would tell with its own trace."""
    try:
        return [function(*each) for each in piece]
    except InputError as error:
        return error


def _mapped(spread: Spread, function: Callable[..., Any], *arguments: Iterable[Any]):
    every = zip(*arguments, strict=True)
    pieces = iter(lambda: list(islice(every, PIECE)), [])
    calls = ((number, (function, piece)) for number, piece in enumerate(pieces))
    waiting: dict[int, list[Any]] = {}
    wanted = 0
    for number, results in spread(calls):
        if isinstance(results, InputError):
            raise results
        waiting[number] = results
        while wanted in waiting:
            yield from waiting.pop(wanted)
            wanted += 1
