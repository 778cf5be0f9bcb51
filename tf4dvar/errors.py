"""The error that says the user's input is at fault."""


class InputError(ValueError):
    """A mistake in what the user gave: says what was received, expected, and what to do.

    The command line prints it as one line and exits with code 2.
    """
