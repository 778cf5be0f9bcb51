"""The diffs of the page for contributors still apply, and their tests pass."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "contributing.md").read_text()
DIFFS = re.findall(r"^```diff\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@pytest.mark.long
def test_its_diffs_apply_and_work(tmp_path, pytestconfig):
    unneeded = shutil.ignore_patterns("__pycache__")
    for folder in ("tf4dvar", "tests"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=unneeded)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)

    assert len(DIFFS) == PAGE.count("\n## Add ") > 0
    for diff in DIFFS:
        # One line of context each: the rest of a file may change.
        run(["git", "apply", "-C1", "-"], tmp_path, input=diff)
    run([sys.executable, "-m", "ruff", "format", "--check", "."], tmp_path)
    run([sys.executable, "-m", "ruff", "check", "."], tmp_path)
    added = re.findall(r"^\+\+\+ b/(tests/\S+)", "".join(DIFFS), re.MULTILINE)
    assert len(added) == len(DIFFS)
    # From the copy's folder, Python finds the copy of the package first.
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    for filtered in pytestconfig.getoption("pythonwarnings") or ():
        command += ["-W", filtered]
    run([*command, *added], tmp_path)


def run(command, folder, **settings):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, **settings)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
