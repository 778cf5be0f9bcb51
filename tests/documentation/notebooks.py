"""Executes the notebooks; `python -m tests.documentation.notebooks` renews their outputs in place.

Names of notebooks may follow, to renew those alone.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOKS = {path.stem: path for path in sorted(ROOT.glob("notebooks/*.ipynb"))}


def read(name):
    return nbformat.read(NOTEBOOKS[name], as_version=nbformat.current_nbformat)


def execute(notebook, folder):
    """Fill in a notebook's outputs, run in a folder."""
    NotebookClient(
        notebook,
        timeout=1200,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        # What TensorFlow's libraries write to the standard error stays out of the outputs.
        extra_arguments=["--IPKernelApp.capture_fd_output=False"],
    ).execute()


if __name__ == "__main__":
    for name in sys.argv[1:] or NOTEBOOKS:
        notebook = read(name)
        execute(notebook, ROOT / "notebooks")
        nbformat.write(notebook, NOTEBOOKS[name])
