"""Random streams that never overlap."""

from zlib import crc32

import numpy as np

# Of the windows on which models are scored; no training takes it.
TEST_SEED = 2021


def random_stream(purpose: str, *seeds: int) -> np.random.Generator:
    """A generator of its own for each purpose and seeds.

    A bare seed would not do: NumPy takes `7` and `[7, 0]` for the same entropy, so that the
    first training windows of seed 7 would be the test windows of seed 7.

    Args:
        purpose: what the numbers are for.
        *seeds: integers of 0 or more.
    """
    return np.random.default_rng([crc32(purpose.encode()), *seeds])
