import pickle

import pytest
from typer.testing import CliRunner

from tf4dvar.cli.app import app
from tf4dvar.data import read_windows
from tf4dvar.errors import InputError, first_line, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a\nb.nc", r"a\nb.nc"), ("a\x1b[2Jb.nc", r"a\x1b[2Jb.nc"), ("caf\udce9.nc", r"caf\udce9.nc")],
)
def test_an_error_is_one_line_that_prints_whatever_a_name_holds(name, shown, tmp_path):
    with pytest.raises(InputError) as error:
        read_windows(tmp_path / name)
    assert str(error.value) == f"There is no file {tmp_path}/{shown}."
    assert str(pickle.loads(pickle.dumps(error.value))) == str(error.value)
    model = tmp_path / "none"
    command = ["evaluate", str(model / name), "--data", "x.nc"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert shown in result.stderr


def test_letters_of_any_language_print():
    assert printable("Température, °C, 温度") == "Température, °C, 温度"
    assert first_line(ValueError("\n\nfirst\nsecond")) == "first"
    assert first_line(ValueError("a\x1bb\udce9")) == r"a\x1bb\udce9"
