import numpy as np
import pytest

from tf4dvar.classical import FixedStepDescent, Problem
from tf4dvar.errors import InputError
from tf4dvar.experiments import true_flow
from tf4dvar.paper import descent as module
from tf4dvar.paper.descent import descent_run, load_descent
from tf4dvar.storage import locked


@pytest.fixture(autouse=True)
def pairs(monkeypatch):
    monkeypatch.setattr(module, "WINDOWS_AT_ONCE", 2)


def test_window_after_window_is_all_at_once_also_when_resumed(windows, tmp_path):
    dataset = windows.isel(window=slice(3))
    flow = true_flow("l63", dtype="float64")
    expected = (
        FixedStepDescent(10).analyse(Problem(dataset["observations"].values, flow, 2.0)).states
    )
    begun = descent_run(tmp_path / "run", "l63", dataset, 10, minutes=0.0)
    assert len(begun.states) == 2
    with pytest.raises(InputError, match="resume=True goes on"):
        descent_run(tmp_path / "run", "l63", dataset, 10)
    with pytest.raises(InputError, match="took 10 steps; received 20"):
        descent_run(tmp_path / "run", "l63", dataset, 20, resume=True)
    with (
        locked(tmp_path / "run"),
        pytest.raises(InputError, match=r"Another process is at work in .*run"),
    ):
        descent_run(tmp_path / "run", "l63", dataset, 10, resume=True)
    whole = descent_run(tmp_path / "run", "l63", dataset, 10, resume=True)
    np.testing.assert_allclose(whole.states, expected, atol=1e-9)
    np.testing.assert_array_equal(load_descent(tmp_path / "run").states, whole.states)
    assert whole.steps == 10
    assert whole.seconds > begun.seconds > 0


def test_a_descent_that_diverges_is_an_error_and_what_is_done_stays(windows, tmp_path):
    dataset = windows.isel(window=slice(4)).copy(deep=True)
    dataset["observations"][3, 8, 0] = 1e30
    with pytest.raises(InputError, match=r"1 of 2 windows .* number 1: .* after 2 windows"):
        descent_run(tmp_path / "run", "l63", dataset, 10)
    assert len(load_descent(tmp_path / "run").states) == 2
