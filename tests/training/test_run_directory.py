import json

import pytest

from tf4dvar.errors import InputError
from tf4dvar.training import RunDirectory

OPTIONS = {
    "experiment": "x",
    "protocol": "C",
    "epochs": 2,
    "minutes": None,
    "iterations": None,
    "windows": 32,
    "seed": 3,
}


def test_options_are_those_that_were_written(tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text(json.dumps({"options": OPTIONS}))
    assert run.options() == OPTIONS


@pytest.mark.parametrize(
    "content",
    [
        *("", "[]", "{}", '{"options": 3}', '{"options": {}}', "\0"),
        json.dumps({"options": OPTIONS | {"minutes": "20"}}),
        json.dumps({"options": OPTIONS, "definition": []}),
        json.dumps({"options": OPTIONS, "identification_seconds": [1]}),
    ],
)
def test_a_damaged_configuration_is_told(content, tmp_path):
    run = RunDirectory(tmp_path)
    run.config.write_text(content)
    with pytest.raises(InputError, match=r"config\.json is damaged"):
        run.options()


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"epoch,elapsed,loss\n0,1.5,1\n1,2..5,1\n", 3),
        (b"epoch,elapsed,loss\n0,1.5,1\n1,2.5\n", 3),
        (b"epoch,loss\n0,1.5\n", 2),
        (b"epoch,elapsed,loss\nx,1.5,1\n", 2),
        (b"epoch,elapsed,loss\n0,1.5,1\n\xff\xfe", 2),
    ],
)
def test_a_damaged_line_of_the_log_is_told(content, line, tmp_path):
    run = RunDirectory(tmp_path)
    run.log.write_bytes(content)
    with pytest.raises(InputError, match=rf"Line {line} of .*log\.csv is damaged"):
        run.history()
