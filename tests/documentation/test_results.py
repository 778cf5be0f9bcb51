"""The tables of the page of results say what the records of the runs do."""

import csv
import json
import re
from pathlib import Path

import pytest

from tf4dvar.experiments import experiment_by_name
from tf4dvar.training.job import definition_of

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "docs" / "runs"
SECTIONS = {"Lorenz-63, protocol C": "C", "Lorenz-63, protocol T": "T", "Lorenz-96": "T"}


def cells(line):
    return [cell.strip(" *") for cell in line.strip().strip("|").split("|")]


def learned_rows():
    """The learned rows of the page's tables, the cells by column, each by the name of its run."""
    found = {}
    page = (ROOT / "docs" / "results.md").read_text()
    for section in page.split("\n## ")[1:]:
        protocol = SECTIONS.get(section.splitlines()[0])
        lines = [line for line in section.splitlines() if protocol and line.startswith("| ")]
        header = next((cells(line) for line in lines if "| R-score |" in line), [])
        for line in lines:
            row = dict(zip(header, cells(line), strict=False))
            if re.match(r"l\d\d-(sup|unsup)-", row.get("experiment", "")):
                found[f"{row['experiment']}-{protocol}"] = row
    return found


ROWS = learned_rows()


def is_rounded(cell, value):
    """Whether the first number of the cell is the value, rounded to the cell's digits."""
    number = re.match(r"[\d.]+(e-?\d+)?", cell.replace(",", ""))[0]
    mantissa, _, exponent = number.partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(number) - value) <= 0.501 * last_digit


@pytest.mark.parametrize("name", ROWS)
def test_a_row_is_that_of_its_record(name):
    run, row = RUNS / name, ROWS[name]
    scores = json.loads((run / "scores.json").read_text())["scores"]
    r_score, _, error = row["R-score"].partition(" +- ")
    assert is_rounded(r_score, scores["r_score"])
    assert is_rounded(error, scores["r_score_se"])
    assert is_rounded(row["4DVar-score"], scores["fourdvar_score"])
    assert is_rounded(row["ODE-score"], scores["ode_score"])
    with (run / "log.csv").open(newline="") as file:
        last = list(csv.DictReader(file))[-1]
    assert is_rounded(row["minutes"], float(last["elapsed"]) / 60)
    assert int(row["K"]) == int(last["iterations"])
    config = json.loads((run / "config.json").read_text())
    options = config["options"]
    assert f"{options['experiment']}-{options['protocol']}" == name
    # Of the runs without it docs/runs/README.md tells the commit.
    if "definition" in config:
        assert config["definition"] == definition_of(experiment_by_name(options["experiment"]))


def test_all_rows_that_learn_are_there():
    kinds = [
        f"{setting}-{prior}-{cell}"
        for setting in ("sup", "unsup")
        for prior in ("rk4", "genn")
        for cell in ("conv", "lstm")
    ]
    assert {f"l63-{kind}-C" for kind in kinds} | {f"l96-{kind}-T" for kind in kinds} <= set(ROWS)
