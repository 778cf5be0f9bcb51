from dataclasses import replace

import numpy as np
import pytest

from tests.field_models import field_model
from tf4dvar.classical.fields import FieldAnalysis, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.filling import Network
from tf4dvar.filling.gap_windows import GIVEN, GapWindows
from tf4dvar.filling.network import _begun

SHAPE = (2, 12, 10, 9)
KERNEL = {
    **{"kernel": "exponential", "length": 30.0, "days": 4.0, "drift_x": 2.0, "drift_y": -1.0},
    **{"variance": 0.5, "noise_factor": 2.0},
}


@pytest.fixture
def problem(rng):
    """Smooth maps on land's edge, two thirds of them below clouds."""
    member, t, y, x = np.indices(SHAPE)
    maps = 15 + np.sin((x + t) / 3 + member) + np.cos(y / 4)
    maps[(x + 2 * y + 3 * t) % 9 < 6] = np.nan
    land = np.zeros(SHAPE[2:], bool)
    land[:, 0] = True
    maps[..., 0] = 1e30
    grid = Grid(np.arange(10.0)[::-1] * 5, np.arange(9.0) * 5, land=land)
    return FieldProblem(maps, 0.01, np.arange(12.0), grid)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The path of a small one of maps."""
    path = tmp_path_factory.mktemp("model") / "small.keras"
    field_model(boundary="zero").save(path)
    return path


def of_pass(windows, number=0):
    return [each.numpy() for each in _arrays(next(iter(windows.batches(4, number, slice(None)))))]


def _arrays(batch):
    inputs, target, weights = batch
    return inputs["observations"], inputs["land"], target, weights


def test_what_is_hidden_counts_and_what_is_given_counts_a_little(problem):
    observations, land, target, weights = of_pass(GapWindows(problem, 5, seed=3))
    assert observations.shape == target.shape == weights.shape == (4, 5, 10, 9, 1)
    hidden, seen = np.isfinite(target) & np.isnan(observations), np.isfinite(observations)
    assert hidden.any(axis=(1, 2, 3, 4)).all()
    np.testing.assert_array_equal(observations[seen], target[seen])
    assert (weights[hidden] == 1).all()
    assert (weights[seen] == np.float32(GIVEN)).all()
    assert np.abs(target[np.isfinite(target)] - 15).max() < 3
    assert np.isnan(target[np.broadcast_to(land[:, None, ..., None] > 0, target.shape)]).all()
    assert (land.sum(axis=(1, 2)) == 10).all()


def test_a_window_is_of_the_maps_turned(problem):
    *_, target, _ = of_pass(GapWindows(problem, 12, seed=3))
    known = np.sort(np.abs(problem.observations[problem.observed] - 15))
    for each in target:
        values = np.abs(each[np.isfinite(each)] - 15)
        assert np.abs(values - known[np.abs(known - values[:, None]).argmin(1)]).max() < 0.2


def test_of_whole_fields_all_counts_that_gaps_hide(problem):
    states = np.broadcast_to(np.arange(12.0)[:, None, None], (3, *SHAPE[1:]))
    observations, _, target, weights = of_pass(GapWindows(replace(problem, states=states), 5, 3))
    assert np.isfinite(target).all()
    assert (weights == 1).all()
    noise = (observations - target)[np.isfinite(observations)]
    assert noise.std() == pytest.approx(0.1, rel=0.2)
    assert 0.2 < np.isfinite(observations).mean() < 0.4


def test_a_pass_follows_from_its_number(problem):
    windows = GapWindows(problem, 5, seed=3)
    for one, again in zip(of_pass(windows, 1), of_pass(GapWindows(problem, 5, 3), 1), strict=True):
        np.testing.assert_array_equal(one, again)
    assert not np.array_equal(of_pass(windows, 0)[0], of_pass(windows, 1)[0], equal_nan=True)


def test_maps_without_gaps_teach_nothing(problem):
    whole = replace(problem, observations=np.zeros(SHAPE))
    with pytest.raises(InputError, match="of 1000 parts of"):
        GapWindows(whole, 5, seed=0)


def test_the_interpolation_has_the_covariance_of_kriging(model, problem):
    often = replace(problem, times=0.5 * problem.times)
    start = _begun(model, KERNEL, often).first_guess.start
    assert float(np.exp(start.log_length[0])) == pytest.approx(6.0)  # 30 km, 5 km apart
    assert float(np.exp(start.log_duration[0])) == pytest.approx(8.0)
    assert float(np.exp(start.log_smoothness[0])) == pytest.approx(0.5)
    # 2 * 0.01 of 0.5, and what an exponential kernel has of short waves.
    assert float(np.exp(start.log_noise_variance[0])) == pytest.approx(0.04 + 0.15)
    # y falls from row to row.
    np.testing.assert_allclose(start.drifts.numpy(), [[0.1, 0.2]], rtol=1e-6)


@pytest.mark.long
def test_it_is_trained_once_and_fills_all_but_land(model, problem, tmp_path):
    kriging = FieldAnalysis(None, np.full(SHAPE, 0.3), KERNEL)
    told = []
    network = Network(0.05, tmp_path / "run", model=model)
    first = network.analyse(problem, lambda *each: told.append(each), kriging)
    log = (tmp_path / "run" / "log.csv").read_text()
    sea = problem.grid.sea
    assert np.isfinite(first.states[..., sea]).all()
    assert np.isnan(first.states[..., ~sea]).all()
    assert first.spread is kriging.spread
    assert {of for _, of in told} == {3, 2}  # seconds, then members
    again = network.analyse(problem, lambda *_: None, kriging)
    np.testing.assert_array_equal(again.states, first.states)
    assert (tmp_path / "run" / "log.csv").read_text() == log
    resumed = Network(0.05, tmp_path / "run", resume=True, model=model)
    np.testing.assert_array_equal(
        resumed.analyse(problem, lambda *_: None, kriging).states, first.states
    )
    with pytest.raises(InputError, match="exists and is left as it is"):
        Network(0.05, tmp_path / "run", model=model)
    with pytest.raises(InputError, match="There is no training in"):
        Network(0.05, tmp_path / "none", resume=True)
    other = Network(0.5, tmp_path / "run", resume=True, model=model)
    with pytest.raises(InputError, match="Resume with the same options"):
        other.analyse(problem, lambda *_: None, kriging)
