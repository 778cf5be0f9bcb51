"""The notebooks run, in make test-notebooks at reduced size, and are kept as they should be read.

A notebook's sizes stand in one cell, tagged `parameters`, which is replaced here.
"""

import ast
import re

import pytest

from tests.documentation.notebooks import NOTEBOOKS, ROOT, execute, read

REDUCED = {
    "01_lorenz63": """
test_windows, training_windows, epochs = 16, 32, 1
descent_steps = (10, 100)
""",
    "02_lorenz96": """
windows = 2
descent_steps = (10, 20)
second_order_steps = 8
""",
    "03_your_own_system": "laboratory_windows, field_windows, epochs = 32, 8, 1",
    "04_compare": "windows, samples, members = 4, 200_000, 2",
    "05_serving": "windows = 2",
    "06_sea_surface_height": """
days, spin_up = 21, 5
kernel = {"covariance": "gaussian", "length": 75, "days": 9, "variance": 0.01, "noise_factor": 1}
iterations = 1
""",
    "07_your_cloudy_file": "points, days, spin_up, minutes = 10, 12, 30, 0.01",
    "08_cycling": "cycles, ahead = 24, 4",
}
LARGEST = 500_000  # bytes
MODEL = re.compile(r"\.\./saved_models/([\w-]+)")


@pytest.fixture(params=NOTEBOOKS)
def name(request):
    """A notebook whose published models are there."""
    for model in MODEL.findall(NOTEBOOKS[request.param].read_text()):
        if not (ROOT / "saved_models" / model).is_dir():
            pytest.skip(f"saved_models/{model} is not published yet")
    return request.param


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters_cell(notebook):
    (cell,) = (cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    return cell


def assigned(source):
    """The names that a piece of code assigns to."""
    return {
        node.id
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }


def run(notebook, folder):
    """Execute a notebook where it finds the published models beside its folder, as in the tree."""
    (folder / "notebooks").mkdir()
    (folder / "saved_models").symlink_to(ROOT / "saved_models")
    execute(notebook, folder / "notebooks")


@pytest.mark.notebook
def test_a_notebook_runs_at_reduced_size(name, tmp_path):
    notebook = read(name)
    cell = parameters_cell(notebook)
    assert assigned(REDUCED[name]) == assigned(cell.source)
    cell.source = REDUCED[name]
    run(notebook, tmp_path)


@pytest.mark.notebook
@pytest.mark.slow
def test_a_notebook_runs(name, tmp_path):
    run(read(name), tmp_path)


def test_a_notebook_is_kept_executed_and_clean(name):
    assert NOTEBOOKS[name].stat().st_size < LARGEST
    cells = code_cells(read(name))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert any("image/png" in output.get("data", ()) for output in outputs)
    for output in outputs:
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
        text = output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        unfit = (str(ROOT), "/tmp", "/home", "site-packages", " at 0x")
        assert not any(part in text for part in unfit), text
