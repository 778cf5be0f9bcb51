"""The error that says that the user's input is at fault, and the words of such errors."""

from typing import Any


class InputError(ValueError):
    """A mistake in what the user gave: says what was received, expected, and what to do.

    The command line prints it as one line and exits with code 2.
    """


class DivergenceError(InputError):
    """States that are not finite: the method does not get along with these observations."""


def first_line(error: BaseException) -> str:
    """What an error of a library says, short enough for a message of one line.

    Args:
        error: it.
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 300 else f"{line[:300]}..."


def shown(value: Any) -> str:
    """A received value, short enough for a message.

    Args:
        value: it.
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
