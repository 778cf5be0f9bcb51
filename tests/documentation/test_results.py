"""The tables of the page of results say what the records of the runs do."""

import csv
import json
import re
from pathlib import Path

import pytest

from tf4dvar.experiments import EXPERIMENTS, TABLES
from tf4dvar.systems import SYSTEMS
from tf4dvar.training.job import definition_of

ROOT = Path(__file__).parents[2]
RUNS = ROOT / "docs" / "runs"
SECTIONS = {"Lorenz-63, protocol C": "C", "Lorenz-63, protocol T": "T", "Lorenz-96": "T"}


def cells(line):
    return [cell.strip(" *") for cell in line.strip().strip("|").split("|")]


def rows_of_the_page():
    """Its tables' rows of experiments, the cells by column, each by the name of its run."""
    found = {}
    page = (ROOT / "docs" / "results.md").read_text()
    for section in page.split("\n## ")[1:]:
        protocol = SECTIONS.get(section.splitlines()[0])
        lines = [line for line in section.splitlines() if protocol and line.startswith("| ")]
        header = next((cells(line) for line in lines if line.startswith("| experiment |")), None)
        for line in lines:
            name = cells(line)[0].partition(",")[0]
            if name in EXPERIMENTS:
                found[f"{name}-{protocol}"] = dict(zip(header, cells(line), strict=True))
    return found


ROWS = rows_of_the_page()
TABLE = {
    f"{row['name']}-{table['protocol']}": row
    for table in map(json.loads, (path.read_text() for path in RUNS.glob("table-*.json")))
    for row in table["rows"]
}


def is_rounded(cell, value):
    """Whether the first number of the cell is the value, rounded to the cell's digits."""
    number = re.match(r"[\d.]+(e-?\d+)?", cell.replace(",", ""))[0]
    mantissa, _, exponent = number.partition("e")
    last_digit = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    return abs(float(number) - value) <= 0.501 * last_digit


def test_the_page_has_the_rows_of_the_tables():
    assert ROWS.keys() == TABLE.keys()
    expected = {f"{row.name}-{row.protocol}" for rows in TABLES.values() for row in rows}
    assert expected <= TABLE.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_the_page_is_that_of_the_table(name):
    row, expected = ROWS[name], TABLE[name]
    r_score, _, error = row["R-score"].partition(" +- ")
    assert len(r_score.replace(".", "").lstrip("0")) >= 3
    assert is_rounded(r_score, expected["r_score"])
    papers = [expected[f"paper_{name}"] for name in ("r_score", "fourdvar_score", "ode_score")]
    # The paper's figures belong to one protocol.
    given = row.get("paper: R-, 4DVar-, ODE-score", "-")
    given = ["-"] * 3 if given == "-" else given.split("; ")
    for cell, paper in zip(given, papers, strict=True):
        assert cell == "-" if paper is None else is_rounded(cell, paper)
    assert is_rounded(error, expected["r_score_se"])
    assert is_rounded(row["4DVar-score"], expected["fourdvar_score"])
    assert is_rounded(row["ODE-score"], expected["ode_score"])
    assert is_rounded(row["learned weights"], expected["parameters"])
    milliseconds = float(row["ms per window"].replace(",", ""))
    assert milliseconds == pytest.approx(1e3 * expected["seconds_per_window"], rel=0.05)
    if expected["parameters"]:
        assert int(row["K"]) == expected["iterations"]
        assert is_rounded(row["minutes"], expected["training_seconds"] / 60)
    else:
        assert f"{expected['iterations']:,} steps" in row["experiment"]
    windows = expected["windows"]
    assert (
        windows == SYSTEMS[name[:3]].test_windows or f"first {windows} windows" in row["experiment"]
    )


@pytest.mark.parametrize("name", [name for name in TABLE if TABLE[name]["parameters"]])
def test_a_row_of_the_table_is_that_of_its_run(name):
    row, run = TABLE[name], RUNS / name
    scores = json.loads((run / "scores.json").read_text())["scores"]
    names = ("r_score", "r_score_se", "fourdvar_score", "ode_score", "windows")
    assert {name: scores[name] for name in names} == {name: row[name] for name in names}
    with (run / "log.csv").open(newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["elapsed"]) == row["training_seconds"]
    config = json.loads((run / "config.json").read_text())
    assert f"{config['options']['experiment']}-{config['options']['protocol']}" == name
    if "definition" in config:
        assert config["definition"] == definition_of(EXPERIMENTS[row["name"]])
    else:
        commits = (RUNS / "README.md").read_text()
        assert re.search(rf"^\| .*`{name}`.* \| [0-9a-f]{{7}} \|$", commits, re.MULTILINE)
