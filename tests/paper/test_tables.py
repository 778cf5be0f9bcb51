import csv
import json
import re

import numpy as np
import pytest

from tf4dvar.data import check_states
from tf4dvar.errors import DivergenceError, InputError
from tf4dvar.experiments import EXPERIMENTS, Experiment, PaperScores
from tf4dvar.layers import GENN, ConvCell, GradientSolver
from tf4dvar.models import FourDVarNet
from tf4dvar.paper import tables
from tf4dvar.paper.tables import _number, held_out_windows, make_table, rows_of

SMALL = Experiment(
    "l63-sup-genn-conv",
    "small",
    "l63",
    lambda: FourDVarNet(GENN(units=4), GradientSolver(ConvCell((2, 2)))),
    *("sup", "genn", "conv"),
    epochs=2,
    windows=32,
    batch_size=16,
    stages=((0.0, 2),),
    paper=PaperScores(r_score=1.34),
)
DESCENT = EXPERIMENTS["l63-none-rk4-fsgd"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Two rows that take seconds."""
    monkeypatch.setattr(tables, "TABLES", {"l63": (DESCENT, SMALL)})
    monkeypatch.setattr(tables, "DESCENT_STEPS", {"l63": 20})


@pytest.mark.long
def test_a_table_is_trained_scored_and_written_in_three_forms(tmp_path):
    descent, learned = make_table("l63", tmp_path, windows=3)
    assert (descent.name, learned.name) == (DESCENT.name, SMALL.name)
    assert (descent.iterations, descent.parameters, descent.training_seconds) == (20, 0, None)
    assert descent.ode_score < 1e-20
    assert learned.iterations == 2
    assert learned.parameters > 100
    assert learned.training_seconds > 0
    assert descent.windows == learned.windows == 3

    document = json.loads((tmp_path / "table-l63-C.json").read_text())
    assert [row["r_score"] for row in document["rows"]] == [descent.r_score, learned.r_score]
    assert document["rows"][1]["paper_r_score"] == 1.34
    assert document["references"][0]["r_score"] == 0.574
    with (tmp_path / "table-l63-C.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert (rows[2]["name"][:11], rows[2]["r_score"]) == ("Bayes limit", "0.574")
    assert float(rows[1]["r_score"]) == learned.r_score
    # Whole numbers stay so where others are missing.
    assert [row["parameters"] for row in rows[:3]] == ["0", str(learned.parameters), ""]
    markdown = re.sub(" +", " ", (tmp_path / "table-l63-C.md").read_text())
    assert f"| {SMALL.name} | 1.34 | {_number(learned.r_score)} +- " in markdown
    assert "Bayes limit: no method can do better: 0.574 +- 0.004" in markdown

    with pytest.raises(InputError, match="resume=True"):
        make_table("l63", tmp_path, windows=3)


@pytest.mark.long
def test_a_stopped_table_goes_on_where_it_was(tmp_path, monkeypatch):
    evaluate = tables.evaluate

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(tables, "evaluate", stop)
    with pytest.raises(KeyboardInterrupt):
        make_table("l63", tmp_path, windows=3)
    assert len(json.loads((tmp_path / "table-l63-C.json").read_text())["rows"]) == 1

    # What was begun goes on with its own options; what is finished is neither trained nor
    # scored again.
    monkeypatch.setattr(tables, "evaluate", evaluate)
    rows = make_table("l63", tmp_path, windows=3, minutes_per_row=60, resume=True)
    monkeypatch.setattr(tables, "evaluate", stop)
    monkeypatch.setattr("tf4dvar.paper.descent._descend_at_once", stop)
    assert make_table("l63", tmp_path, windows=3, resume=True) == rows
    # Fewer windows are the first of the same ones.
    (fewer,) = make_table("l63", tmp_path, windows=2, names=[DESCENT.name], resume=True)
    assert fewer.windows == 2
    # The other rows stay in the table.
    written = json.loads((tmp_path / "table-l63-C.json").read_text())["rows"]
    assert [(row["name"], row["windows"]) for row in written] == [
        (DESCENT.name, 2),
        (SMALL.name, 3),
    ]


@pytest.mark.long
def test_a_row_that_diverges_does_not_keep_the_others_from_the_table(tmp_path, monkeypatch):
    def diverge(*_):
        check_states(np.full((1, 2, 3), np.nan), "the descent diverges there")

    monkeypatch.setattr(tables, "descent_run", diverge)
    with pytest.raises(DivergenceError, match=rf"Rows without a score: {DESCENT.name}: .*diverges"):
        make_table("l63", tmp_path, windows=3)
    written = json.loads((tmp_path / "table-l63-C.json").read_text())["rows"]
    assert [row["name"] for row in written] == [SMALL.name]


@pytest.mark.long
def test_a_damaged_record_is_named(tmp_path, monkeypatch):
    make_table("l63", tmp_path, windows=2)
    for file in (
        *(tmp_path / SMALL.name).with_name(f"{SMALL.name}-C").glob("*.json"),
        tmp_path / f"{DESCENT.name}-C" / "descent.npz",
        tmp_path / "table-l63-C.json",
    ):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(InputError, match=rf"{file.name} is damaged"):
            make_table("l63", tmp_path, windows=2, resume=True)
        file.write_bytes(whole)
    (tmp_path / f"{SMALL.name}-C" / "log.csv").unlink()
    assert make_table("l63", tmp_path, windows=2, resume=True)[1].training_seconds is None


def test_a_budget_without_an_end_is_refused_before_anything_is_done(tmp_path):
    with pytest.raises(InputError, match="expected more than 0"):
        make_table("l63", tmp_path / "runs", minutes_per_row=float("nan"))
    assert not (tmp_path / "runs").exists()


def test_numbers_keep_their_final_zeros():
    assert [_number(value) for value in (4.3, 378.2, 0.0, 6e-13, None)] == [
        "4.30",
        "378",
        "0.00",
        "6.00e-13",
        "-",
    ]
    assert _number(0.1, 2) == "0.10"


@pytest.mark.long
def test_on_another_protocol_the_papers_scores_do_not_count(tmp_path):
    _, learned = make_table("l63", tmp_path, "T", windows=2)
    assert learned.paper_r_score is None


@pytest.mark.long
def test_a_time_budget_ends_trainings_and_descent(tmp_path, monkeypatch):
    monkeypatch.setattr("tf4dvar.paper.descent.WINDOWS_AT_ONCE", 2)
    descent, learned = make_table("l63", tmp_path, windows=4, minutes_per_row=1e-4)
    assert (descent.windows, learned.windows) == (2, 4)
    config = json.loads((tmp_path / f"{SMALL.name}-C" / "config.json").read_text())
    assert config["options"]["minutes"] == 1e-4
    history = (tmp_path / f"{SMALL.name}-C" / "log.csv").read_text().splitlines()
    assert len(history) == 2


def test_held_out_windows_are_the_first_of_the_papers_number():
    few, more = (held_out_windows("l96", None, count) for count in (2, 5))
    assert more.sizes["window"] == 5
    np.testing.assert_array_equal(few["observations"], more["observations"][:2])


@pytest.mark.long
@pytest.mark.parametrize("windows", [0, 2001])
def test_what_there_is_not_is_refused(windows):
    with pytest.raises(InputError, match=f"Received {windows} test windows; l63 has 1 to 2000"):
        held_out_windows("l63", "C", windows)
    for other in ("l96-sup-rk4-lstm", "l63-c"):
        with pytest.raises(InputError, match=f"{other}: no row of the table of l63; expected some"):
            rows_of("l63", [SMALL.name, other])
    assert rows_of("l63", [DESCENT.name, DESCENT.name]) == [DESCENT]
    with pytest.raises(InputError, match="l63"):
        held_out_windows("l64", "C")
