"""How commands tell how far they are: on a terminal by a bar."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TextColumn


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[..., None]]:
    """A bar on the error stream, where that is a terminal, from the first progress on.

    Args:
        label: what goes on.

    Yields:
        A function of what is done, its total and, if there is more to say, that.
    """
    console = Console(stderr=True)
    columns = (*Progress.get_default_columns(), TextColumn("{task.fields[more]}"))
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(escape(label), visible=False, more="")

        def progress(done: float, total: float, more: str = "") -> None:
            bar.update(task, completed=done, total=total, more=more, visible=True)

        yield progress


def verbose() -> str | int:
    """How Keras tells of the epochs of a training: by a line each where nobody sees a bar move."""
    return "auto" if sys.stdout.isatty() else 2
