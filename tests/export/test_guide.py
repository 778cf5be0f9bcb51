import re
import shlex
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.export.test_saved_model import make_model
from tf4dvar.cli.app import app

GUIDE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
SECTIONS = ("Exporting", "From Python", "From the shell", "For GPUs", "ONNX")


def steps(section):
    """The commands and the Python of a section, in their order."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", GUIDE, re.DOTALL | re.MULTILINE)
    return re.findall(
        r"^    ((?:tf4dvar|saved_model_cli|python) [^\n]*)|^```python\n(.*?)```",
        text,
        re.DOTALL | re.MULTILINE,
    )


def run(command):
    program, *arguments = shlex.split(command)
    if program == "tf4dvar":
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
    else:
        subprocess.run([Path(sys.executable).with_name(program), *arguments], check=True)


@pytest.mark.slow
def test_its_commands_and_examples_run_in_their_order(tmp_path, monkeypatch, windows):
    monkeypatch.chdir(tmp_path)
    windows.to_netcdf("windows.nc", engine="h5netcdf")
    (tmp_path / "runs" / "x").mkdir(parents=True)
    make_model().save("runs/x/model.keras")
    scopes = []
    for section in SECTIONS:
        for command, code in steps(section):
            if command:
                run(command)
            else:
                scopes.append({})
                exec(code, scopes[-1])
    plain, onnx = (np.asarray(scope["state"]) for scope in scopes)
    np.testing.assert_allclose(onnx, plain, atol=1e-3)
    model = keras.saving.load_model("runs/x/model.keras")
    expected = model.predict(windows["observations"].values.astype("float32"), verbose=0)
    np.testing.assert_allclose(np.load("state.npy"), expected, rtol=1e-5, atol=1e-5)
