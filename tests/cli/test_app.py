import json
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tf4dvar.cli.app import COMMANDS, app
from tf4dvar.data import read_windows, write_dataset
from tf4dvar.experiments import experiment_by_name
from tf4dvar.paper.demo import EXPERIMENT

pytestmark = pytest.mark.long


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def succeed(*arguments):
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def fail(*arguments):
    """One clear line and exit code 2."""
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith("Error: ")
    return result.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder in which the commands of the README were run in their order."""
    folder = tmp_path_factory.mktemp("cli")
    succeed("simulate", "l63", "--windows", 6, "--seed", 7, "--out", folder / "windows.nc")
    report = succeed(
        *("train", "l63-sup-rk4-lstm", "--out", folder / "run", "--epochs", 1),
        *("--windows", 64, "--iterations", 2, "--json"),
    )
    assert json.loads(report)["iterations"] == 2
    data = ("--data", folder / "windows.nc")
    succeed("reconstruct", folder / "run", *data, "--out", folder / "learned.nc")
    report = succeed(
        "assimilate", "fsgd", *data, "--steps", 20, "--out", folder / "fsgd.nc", "--json"
    )
    assert json.loads(report)["out"] == str(folder / "fsgd.nc")
    assert json.loads(report)["windows"] == 6
    return folder


def test_evaluate_prints_the_promised_json(folder):
    command = ("evaluate", folder / "run", "--data", folder / "windows.nc")
    scores = json.loads(succeed(*command, "--json"))
    assert scores["windows"] == 6
    assert scores["r_score"] > 0
    shown = dict(line.split(maxsplit=1) for line in succeed(*command).splitlines())
    assert set(shown) == set(scores) - {"r_score_by_time"}
    assert shown["r_score"] == f"{scores['r_score']:.4g}"
    assert shown["r_score_by_component"].startswith(f"x {scores['r_score_by_component']['x']:.4g},")
    file = ("evaluate", folder / "run" / "model.keras", "--data", folder / "windows.nc")
    assert json.loads(succeed(*file, "--json"))["r_score"] == scores["r_score"]


def test_states_have_the_coordinates_of_their_windows(folder):
    source = read_windows(folder / "windows.nc")
    for name in ("learned.nc", "fsgd.nc"):
        states = read_windows(folder / name, "state")
        assert states["state"].dims == source["observations"].dims
        assert all(states[c].equals(source[c]) for c in source.coords)
        assert np.isfinite(states["state"]).all()


def test_truth_is_not_needed_to_reconstruct(folder, tmp_path):
    blind = tmp_path / "blind.nc"
    write_dataset(read_windows(folder / "windows.nc").drop_vars("truth"), blind)
    succeed("reconstruct", folder / "run", "--data", blind, "--out", tmp_path / "states.nc")
    assert read_windows(tmp_path / "states.nc", "state")["state"].equals(
        read_windows(folder / "learned.nc", "state")["state"]
    )
    assert "no variable `truth`" in fail("evaluate", folder / "run", "--data", blind)


def test_plot_draws_all_states(folder, tmp_path):
    states = ("--states", folder / "learned.nc", "--states", folder / "fsgd.nc")
    out = tmp_path / "figure.png"
    succeed("plot", "--data", folder / "windows.nc", *states, "--out", out)
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "exists" in fail("plot", "--data", folder / "windows.nc", *states, "--out", out)


def test_simulate_repeats_bit_for_bit(folder, tmp_path):
    succeed("simulate", "l63", "--windows", 6, "--seed", 7, "--out", tmp_path / "again.nc")
    assert read_windows(tmp_path / "again.nc").identical(read_windows(folder / "windows.nc"))


def test_an_existing_output_is_refused_and_kept(folder):
    before = (folder / "windows.nc").read_bytes()
    assert "--force" in fail("simulate", "l63", "--out", folder / "windows.nc")
    assert "--resume" in fail("train", "l63-sup-rk4-conv", "--out", folder / "run")
    data = ("--data", folder / "windows.nc", "--out", folder / "learned.nc")
    assert "--force" in fail("reconstruct", folder / "run", *data)
    assert "--force" in fail("assimilate", "fsgd", *data)
    assert (folder / "windows.nc").read_bytes() == before


def test_mistakes_are_answered_in_one_line(folder, tmp_path):
    out, data = ("--out", tmp_path / "out.nc"), ("--data", folder / "windows.nc")
    assert "l63" in fail("simulate", "l36", *out)
    assert "'Q'" in fail("simulate", "l63", "--protocol", "Q", *out)
    assert "nearest" in fail("train", "l63-sup-rk4-cnn", *out)
    assert "no model" in fail("evaluate", tmp_path, *data)
    assert "no file" in fail("evaluate", folder / "run", "--data", tmp_path / "no.nc")
    assert "'state'" in fail("plot", *data, "--states", folder / "windows.nc", *out)
    unknown = tmp_path / "unknown.nc"
    write_dataset(read_windows(folder / "windows.nc").assign_attrs(system="mine"), unknown)
    assert "'mine'" in fail("assimilate", "fsgd", "--data", unknown, *out)
    assert not (tmp_path / "out.nc").exists()


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf4dvar.serving.server", None)
    assert "which is not installed: pip install '.[serve]'" in fail("serve", tmp_path)


def test_the_installed_command_prints_one_line_and_no_start_up_messages(tmp_path):
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from tf4dvar.cli.app import main; main()",
            "evaluate",
            "no",
            "--data",
            "x",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: There is no model at no")
    assert result.stderr.count("\n") == 1


def test_a_message_of_the_library_names_the_options_of_the_command(folder):
    """Where a name is an argument of the library, and an option here."""
    data = ("--data", folder / "windows.nc", "--out", folder / "new.nc")
    assert "Received --inflation 0.0; expected" in fail(
        "assimilate", "enks", *data, "--inflation", 0
    )
    integrator = fail("simulate", "l63", "--integrator", "euler", "--out", folder / "new.nc")
    assert "Received --integrator 'euler'; expected" in integrator
    written = fail("simulate", "l63", "--out", folder / "windows.nc")
    assert written.endswith("windows.nc exists and is left as it is; --force overwrites it.\n")


def test_export_describes_the_run(folder, tmp_path):
    served = tmp_path / "served"
    report = json.loads(succeed("export", folder / "run", "--out", served, "--json"))
    assert report == {"out": str(served / "1"), "iterations": 2}
    card = json.loads((served / "card.json").read_text())
    assert card["components"] == ["x", "y", "z"]
    assert card["units"] == "1"
    assert card["source"]["path"] == str(folder / "run")
    assert card["source"]["training"]["experiment"] == "l63-sup-rk4-lstm"
    assert "'savedmodel'" in fail("export", folder / "run", "--out", served, "--format", "onnx")
    assert "--unroll" in fail("export", "run", "--out", served, "--format", "onnx", "--unroll")
    assert "known formats: onnx, savedmodel" in fail("export", "x", "--out", "y", "--format", "z")
    assert "no model" in fail("export", tmp_path, "--out", tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_help_is_there_without_tensorflow(tmp_path):
    code = (
        "import sys; from tf4dvar.cli.app import app; app(['--help'], standalone_mode=False);"
        "app(['models'], standalone_mode=False);"
        "assert not {'xarray', 'scipy.linalg', 'pandas', 'keras'} & {*sys.modules};"
        "app(['assimilate', 'enks', '--help'], standalone_mode=False);"
        "assert 'tensorflow' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for command in ("simulate", "train", "evaluate", "reconstruct", "assimilate", "plot", "export"):
        assert command in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_help_tells_of_a_command_what_the_command_says(name):
    root = typer.main.get_command(app)
    told = " ".join(succeed("--help").replace("\u2502", " ").split())
    first, *_ = root.commands[name].help.split("\n\n")
    assert f" {name} {' '.join(first.split())} " in told.replace("`", "")


def epochs_told(output):
    """The lines that end an epoch; the bar's frames would be many more, or one with them all."""
    assert "\b" not in output
    return [line for line in output.splitlines() if "loss:" in line]


def test_into_a_pipe_a_training_says_one_line_an_epoch(tmp_path):
    command = (
        *("train", "l63-sup-rk4-lstm", "--out", tmp_path / "run", "--epochs", "3"),
        *("--windows", "96", "--iterations", "1"),
    )
    code = "from tf4dvar.cli.app import main; main()"
    output = subprocess.run(
        [sys.executable, "-c", code, *map(str, command)], stdout=subprocess.PIPE, text=True
    ).stdout
    ends = epochs_told(output)
    assert len(ends) == 3
    assert all(re.match(r"(\d+)/\1 - .* - loss: ", line) for line in ends)


def test_demo_writes_a_table_and_a_figure(tmp_path, monkeypatch):
    small = replace(experiment_by_name(EXPERIMENT), windows=128)
    monkeypatch.setattr("tf4dvar.paper.demo.experiment_by_name", lambda _: small)
    monkeypatch.setattr("tf4dvar.paper.demo.DESCENT_STEPS", 20)
    output = succeed("demo", "--out", tmp_path / "demo", "--windows", 2, "--minutes", 0.001)
    log = (tmp_path / "demo" / "run" / "log.csv").read_text()
    assert len(epochs_told(output)) == log.count("\n") - 1
    for name in ("windows.nc", "states.nc", "figure.png"):
        assert (tmp_path / "demo" / name).is_file()
