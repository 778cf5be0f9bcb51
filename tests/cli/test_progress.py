import io
import re
from contextlib import redirect_stderr

import pytest

from tf4dvar.cli.progress import progress_bar


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def text(self):
        """What stands there without the codes that move and colour."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def test_on_a_terminal_a_bar_moves_and_its_label_is_no_markup(terminal):
    with redirect_stderr(terminal), progress_bar("runs[/x]+enks") as progress:
        for done in (3, 4):
            progress(done, 4, "7/s")
    assert re.search(r"runs\[/x\]\+enks .* 100% .* 7/s", terminal.text())


def test_before_there_is_progress_nothing_is_drawn(terminal):
    with (
        pytest.raises(ZeroDivisionError),
        redirect_stderr(terminal),
        progress_bar("enks"),
    ):
        raise ZeroDivisionError
    assert terminal.text().strip() == ""


def test_elsewhere_there_is_no_bar(capsys):
    with progress_bar("enks") as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")
