"""Simulating windows in several processes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.scale.workers import ray_workers
from tf4dvar.systems import System, windows_from

# Entries of the windows that are simulated at once, 8 MiB.
PIECE_ENTRIES = 2**20


@contextmanager
def with_workers(
    workers: int, address: str | None = None
) -> Iterator[Callable[[System, np.ndarray, int, str], np.ndarray]]:
    """What `sample_windows` takes as `simulate`: the same numbers, from processes on Ray.

    The initial states and the noise are drawn where `sample_windows` is called.

    Args:
        workers, address: see `ray_workers`.
    """
    with ray_workers(workers, address, lambda: windows_from) as spread:

        def simulate(system, initial, steps, integrator):
            windows = np.empty((len(initial), steps, initial.shape[1]))
            # Some for every worker, since not all of them are equally fast.
            count = max(4 * workers, windows.size // PIECE_ENTRIES)
            pieces = np.array_split(np.arange(len(initial)), min(count, len(initial)))
            calls = ((piece, (system, initial[piece], steps, integrator)) for piece in pieces)
            for piece, result in spread(calls):
                if isinstance(result, InputError):
                    raise result
                windows[piece] = result
            return windows

        yield simulate
