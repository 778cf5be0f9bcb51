"""What an installed package has, without the checkout."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import tf4dvar
from tests.cli.test_app import fail, succeed
from tf4dvar.errors import InputError
from tf4dvar.models import load_model
from tf4dvar.storage.published import published_names

ROOT = Path(__file__).parents[1]


@pytest.mark.long
def test_published_models_are_known_by_name(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    published = {file.parent.name for file in (ROOT / "saved_models").glob("*/card.json")}
    assert set(published_names()) == published >= {"l63-c", "l96", "qg-nadirs"}
    model = tf4dvar.load_model("l63-c-paper")
    assert isinstance(model, tf4dvar.FourDVarNet)
    observations = rng.normal(size=(1, 20, 3)).astype("float32")
    other = load_model(ROOT / "saved_models" / "l63-c-paper" / "model.keras")
    np.testing.assert_array_equal(model(observations), other(observations))
    assert "l63-c-paper" in succeed("models")
    with pytest.raises(InputError, match=f"or one of {', '.join(sorted(published))}"):
        load_model("l63-x")
    # What is there goes before what has the same name.
    Path("l63-t").mkdir()
    assert "There is no model at l63-t" in fail("evaluate", "l63-t", "--data", "x.nc")


def test_the_package_itself_imports_without_tensorflow():
    code = "import sys, tf4dvar; assert 'tensorflow' not in sys.modules; tf4dvar.nothing"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "module 'tf4dvar' has no attribute 'nothing'" in result.stderr


def test_it_is_imported_where_there_is_no_posix():
    """As on Windows: without these modules and names of the standard library."""
    code = (
        "import os, signal, sys, psutil\n"
        "for name in 'fcntl', 'grp', 'pwd', 'resource', 'termios':\n"
        "    sys.modules[name] = None\n"
        "for name in 'O_NONBLOCK', 'O_CLOEXEC', 'fork', 'sched_getaffinity', 'sysconf':\n"
        "    vars(os).pop(name, None)\n"
        "for name in 'SIGHUP', 'SIGKILL', 'SIGUSR1', 'pause', 'pthread_sigmask':\n"
        "    vars(signal).pop(name, None)\n"
        "import tf4dvar.cli.app, tf4dvar.serving.client, tf4dvar.serving.pool\n"
        "import tf4dvar.serving.server, tf4dvar.storage.version_directory"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_commands_work_in_any_folder_without_the_checkout(tmp_path):
    """The wheel, unpacked, with its dependencies from here."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*pip, tmp_path / "installed", ROOT], check=True)
    code = "import tf4dvar.cli.app as cli; print(cli.__file__); cli.main()"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "installed")}

    def command(*arguments):
        result = subprocess.run(
            [sys.executable, "-P", "-c", code, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.startswith(str(tmp_path / "installed"))
        return result.stdout

    assert "l96-paper" in command("models")
    command("simulate", "l63", "--windows", "3", "--out", "windows.nc")
    command("reconstruct", "l63-c", "--data", "windows.nc", "--out", "states.nc")
    assert "r_score" in command("evaluate", "l63-c", "--data", "windows.nc")
