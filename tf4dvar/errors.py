"""The error that says that the user's input is at fault, and the words of such errors."""

from typing import Any


class InputError(ValueError):
    """A mistake in what the user gave: says what was received, expected, and what to do.

    The command line prints it as one line and exits with code 2. It is one: a name in it may hold
    a line break, and whoever chose the name shall not write lines of his own.

    Args:
        message: what was received, what was expected, and what to do.
    """

    def __init__(self, message: str):
        super().__init__(printable(message))


class DivergenceError(InputError):
    """States that are not finite: the method does not get along with these observations."""


def printable(text: str) -> str:
    """A text with what does not print, line breaks among it, as Python escapes it.

    Args:
        text: it.
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def first_line(error: BaseException | str) -> str:
    """What an error of a library says, short enough for a message of one line that prints.

    Args:
        error: it.
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return printable(line if len(line) <= 300 else f"{line[:300]}...")


def shown(value: Any) -> str:
    """A received value, short enough for a message.

    Args:
        value: it.
    """
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}..."
