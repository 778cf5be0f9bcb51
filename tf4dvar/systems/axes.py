"""The axes of states, [window, time, *space, variable], of any rank."""

from typing import Any


def axes_but(kept: int, values: Any) -> tuple[int, ...]:
    """All axes but one: what a number of each window, time or variable is taken over.

    Args:
        kept: the one; 0 is the window's, 1 that of time, -1 that of the variables.
        values: an array of NumPy or a tensor.
    """
    rank = len(values.shape)
    return tuple(axis for axis in range(rank) if axis != kept % rank)
