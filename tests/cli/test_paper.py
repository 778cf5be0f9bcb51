import json

from tests.cli.test_app import fail, succeed
from tf4dvar.experiments import EXPERIMENTS


def test_experiments_are_listed_for_people_and_as_json():
    lines = succeed("experiments").splitlines()
    assert [line.split()[0] for line in lines] == list(EXPERIMENTS)
    line = next(line for line in lines if line.startswith("l63-sup-genn-conv "))
    assert line.endswith("1.34)")
    rows = json.loads(succeed("experiments", "--json"))
    assert [row["name"] for row in rows] == list(EXPERIMENTS)
    row = next(row for row in rows if row["name"] == "l63-sup-genn-conv")
    assert row["paper"] == {"r_score": 1.34, "fourdvar_score": 0.11, "ode_score": 0.16}


def test_mistakes_are_one_line(tmp_path):
    runs = ("--runs", tmp_path / "runs")
    assert "'l95'" in fail("tables", "l95", *runs)
    assert "'X'" in fail("tables", "l63", *runs, "--protocol", "X")
    assert "the nearest are" in fail("tables", "l63", *runs, "--row", "l63-sup-rk4-ltsm")
    assert "no finished row" in fail("figures", "l63", *runs, "--out", tmp_path / "figures")
    assert not (tmp_path / "figures").exists()


def test_lorenz96_is_simulated_with_fresh_masks_by_default(tmp_path):
    out = tmp_path / "windows.nc"
    report = succeed("simulate", "l96", "--windows", 2, "--steps", 8, "--out", out, "--json")
    assert json.loads(report)["observations"] == 2 * 2 * 20
