import json
import os

import msgspec
import pytest

from tf4dvar.errors import InputError, first_line
from tf4dvar.storage.records import read_record


class Scores(msgspec.Struct):
    r_score: float
    windows: int


class Form(msgspec.Struct):
    name: str
    scores: Scores
    more: str | None = None


GOOD = {"name": "x", "scores": {"r_score": 1.5, "windows": 3}, "more": None}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "record.json"


def test_a_record_is_what_was_written(file):
    file.write_text(json.dumps(GOOD))
    assert read_record(file, Form) == GOOD


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5000],
    ids=["empty", "cut", "encoding", "deep list", "deep object", "number of 5000 digits"],
)
def test_what_is_no_json_is_damaged(file, content):
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"record\.json is damaged: it is no JSON"):
        read_record(file, Form)


def test_what_is_no_file_is_not_waited_for(file):
    os.mkfifo(file)
    with pytest.raises(InputError, match=r"record\.json is no regular file"):
        read_record(file, Form)


def test_what_is_too_large_is_not_read(file):
    with file.open("wb") as sparse:
        sparse.truncate(2**40)
    with pytest.raises(InputError, match=r"record\.json is damaged: it has more than"):
        read_record(file, Form)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "Expected `object`, got `array`"),
        ({}, "missing required field `name`"),
        (GOOD | {"name": 3}, "Expected `str`, got `int` - at `\\$.name`"),
        (GOOD | {"name": ["x" * 100]}, "\\.\\.\\.: Expected `str`, got `array`"),
        (GOOD | {"scores": None}, "Expected `object`, got `null` - at `\\$.scores`"),
        (GOOD | {"scores": {"r_score": 1}}, "missing required field `windows` - at `\\$.scores`"),
        (GOOD | {"scores": {"r_score": True, "windows": 1}}, "Expected `float`, got `bool`"),
        (GOOD | {"scores": {"r_score": 1, "windows": 1.5}}, "Expected `int`, got `float`"),
        (
            GOOD | {"more": 1},
            "Expected `str | null`, got `int` - at `\\$.more`".replace("|", "\\|"),
        ),
    ],
)
def test_an_entry_that_does_not_fit_is_named(file, record, message):
    file.write_text(json.dumps(record))
    with pytest.raises(InputError, match=f"record.json is damaged: .*{message}"):
        read_record(file, Form)


def test_the_first_line_of_an_error_is_short():
    assert first_line(ValueError("\none\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("x" * 1000)) == "x" * 300 + "..."
