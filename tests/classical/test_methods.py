from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical import METHODS, Task, assimilate
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63

QUICK = {
    "fsgd": {"steps": 5},
    "enks": {"members": 20},
    "oi": {"training_windows": 50},
    "strong-multistart": {"starts": 2},
}


@pytest.fixture(scope="module")
def task(few, flow):
    return Task(few[:2], flow, Lorenz63(), noise_variance=2.0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_a_whole_analysis(name, task):
    reports = []
    analysis = assimilate(name, task, lambda *done: reports.append(done), **QUICK.get(name, {}))
    assert analysis.states.shape == task.observations.shape
    assert np.isfinite(analysis.states).all()
    for field in (analysis.costs, analysis.iterations, analysis.converged):
        assert field.shape == (2,)
    assert analysis.seconds_per_window > 0
    assert (analysis.spread is not None) == (name == "enks")
    done, total = reports[-1]
    assert done == total


def test_a_given_model_error_weighs_by_covariances(task):
    averaged, weighted = (
        assimilate("weak-gauss-newton", task, model_variance=variance).costs
        for variance in (None, 1e-3)
    )
    assert np.all(weighted > 100 * averaged)


def test_a_start_is_used_or_refused(task):
    finished = assimilate("weak-gauss-newton", task)
    again = replace(task, start=finished.states)
    assert np.all(assimilate("weak-gauss-newton", again).iterations == 1)
    with pytest.raises(InputError, match="enks takes no start"):
        assimilate("enks", again)
    with pytest.raises(InputError, match="4dvar"):
        assimilate("4dvar", task)
