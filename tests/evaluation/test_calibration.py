"""Scores of stated errors and of samples, against their definitions."""

import json
from itertools import permutations

import numpy as np
import pytest

from tests.cli.test_app import fail, succeed
from tf4dvar.evaluation.calibration import (
    full_calibration,
    model_calibration,
    sample_calibration,
    sample_scores,
)
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63


def test_crps_and_energy_score_are_what_they_are_defined_as(rng):
    samples, truth = rng.normal(size=(5, 2, 4, 3)), rng.normal(size=(2, 4, 3))
    truth[0, 1] = np.nan
    found = sample_scores(samples, truth)
    for window in range(2):
        known = np.isfinite(truth[window])
        some, of = samples[:, window][:, known], truth[window][known]
        pairs = list(permutations(range(5), 2))
        between = np.mean([np.abs(some[a] - some[b]) for a, b in pairs], axis=0)
        expected = np.abs(some - of).mean(axis=0) - between / 2
        np.testing.assert_allclose(found.crps[window], expected.mean(), rtol=1e-12)
        norm = np.linalg.norm
        apart = np.mean([norm(some[a] - some[b]) for a, b in pairs])
        energy = np.mean([norm(each - of) for each in some]) - apart / 2
        np.testing.assert_allclose(found.energy[window], energy / np.sqrt(of.size), rtol=1e-9)
        assert found.ranks[window].sum() == known.sum()


def test_ranks_count_the_samples_below():
    samples = np.array([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1)
    for truth, rank in ((0.5, 0), (2.5, 2), (9.0, 4)):
        found = sample_scores(samples, np.array([[truth]]))
        np.testing.assert_array_equal(found.ranks, [np.eye(5)[rank]])
        assert found.inside[0, 2] == (rank == 2)


@pytest.mark.parametrize(("width", "inside"), [(1.0, 0.9), (0.5, 0.59), (2.0, 0.999)])
def test_samples_of_the_truth_are_told_from_others(width, inside, rng):
    samples, truth = rng.normal(size=(99, 200, 20)), rng.normal(size=(200, 20))
    right = sample_calibration(sample_scores(samples, truth))
    told = sample_calibration(sample_scores(width * samples, truth))
    assert told["within_90_percent"] == pytest.approx(inside, abs=0.02)
    assert sum(told["ranks"]) == pytest.approx(1.0)
    flat = np.abs(np.array(told["ranks"]) - 0.1).max() < 0.02
    assert flat == (width == 1.0)
    if width != 1.0:
        assert told["crps"] > 1.02 * right["crps"]
        assert told["energy_score"] > 1.001 * right["energy_score"]


def test_the_energy_score_knows_what_entries_have_in_common(rng):
    """Each entry alone is as right where the samples mix those of different windows."""
    common, own = rng.normal(size=(60, 100, 1)), rng.normal(size=(60, 100, 30))
    truth = np.broadcast_to(rng.normal(size=(100, 1)), (100, 30))
    together = sample_calibration(sample_scores(np.broadcast_to(common, own.shape), truth))
    apart = sample_calibration(sample_scores(own, truth))
    assert apart["crps"] == pytest.approx(together["crps"], rel=0.1)
    assert apart["energy_score"] > 1.1 * together["energy_score"]


def test_classes_of_spread_tell_where_it_is_wrong(rng):
    spread = rng.uniform(0.1, 1.0, (50, 40, 3))
    error = spread * rng.normal(size=spread.shape)
    error[spread > 0.9] *= 2
    error[:, 0] = np.nan
    told = full_calibration(error, spread)
    ratios = [each["error"] / each["spread"] for each in told["by_spread"]]
    assert len(ratios) == 10
    np.testing.assert_allclose(ratios[:8], 1.0, atol=0.15)
    assert ratios[9] > 1.7
    assert told["spread_over_error"] < 0.9
    assert told["within_50_percent"] < told["within_90_percent"] < told["within_99_percent"]


@pytest.fixture(scope="module")
def model():
    network = AttentionFirstGuess(8, 16, 1, 2, weighted=True, background=True, outputs=3)
    solver = GradientSolver(FixedStepCell(0.1), 0)
    model = FourDVarNet(GENN(4), solver, uncertainty=GaussianPosterior(network))
    model.build((None, None, 3))
    return model


@pytest.mark.long
def test_a_model_is_scored_in_any_order_of_its_components(model, windows):
    few = windows.isel(window=slice(4), time=slice(24))
    model.adapt(few)
    told = model_calibration(model, few, 4, system=Lorenz63())
    turned = model_calibration(model, few.isel(component=[2, 0, 1]), 4, system=Lorenz63())
    assert turned["calibration"]["crps"] == pytest.approx(told["calibration"]["crps"], rel=1e-4)
    of_samples = told["calibration_of_samples"]
    # Of an untrained one, whose entries have noise of their own.
    assert of_samples["step_residual"] > 0.1
    assert turned["calibration_of_samples"]["step_residual"] == pytest.approx(
        of_samples["step_residual"], rel=1e-3
    )


@pytest.mark.long
def test_the_command_scores_error_bars(model, windows, tmp_path):
    few = windows.isel(window=slice(4), time=slice(24))
    few.to_netcdf(tmp_path / "windows.nc")
    model.save(tmp_path / "model.keras")
    given = (tmp_path / "model.keras", "--data", tmp_path / "windows.nc")
    told = json.loads(succeed("evaluate", *given, "--calibration", "--samples", 5, "--json"))
    expected = model_calibration(model, few, 5, system=Lorenz63())
    for name, scores in expected.items():
        for key, value in scores.items():
            if isinstance(value, float):
                assert told[name][key] == pytest.approx(value, rel=1e-4)
    assert "2 or more" in fail("evaluate", *given, "--calibration", "--samples", 1)
    assert "with --calibration" in fail("evaluate", *given, "--samples", 5)
    assert "calibration" not in json.loads(succeed("evaluate", *given, "--json"))
