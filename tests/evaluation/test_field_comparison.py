import numpy as np
import pytest
from scipy import integrate, stats

from tf4dvar.classical.fields import FieldAnalysis, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.evaluation.field_comparison import calibration, scores_of_fields

SHAPE = (2, 6, 5, 8)


def test_a_right_error_is_told_so(rng):
    spread = rng.uniform(0.5, 2.0, 200_000)
    told = calibration(spread * rng.normal(size=spread.size), spread)
    assert abs(told["scaled_error"] - 1) < 0.01
    assert abs(told["within_90_percent"] - 0.9) < 0.005
    wrong = calibration(spread * rng.normal(size=spread.size), spread / 2)
    assert abs(wrong["scaled_error"] - 2) < 0.02


@pytest.mark.parametrize(("error", "spread"), [(0.3, 1.0), (-2.0, 0.5), (0.0, 3.0)])
def test_crps_is_the_integral_over_the_distribution(error, spread):
    def squared(x):
        return (stats.norm.cdf(x, error, spread) - (x >= 0)) ** 2

    expected = sum(integrate.quad(squared, *limits)[0] for limits in ((-30, 0), (0, 30)))
    told = calibration(np.array([error]), np.array([spread]))
    np.testing.assert_allclose(told["crps"], expected, rtol=1e-6)


def test_errors_are_told_by_day_and_by_the_distance_to_an_observation(rng):
    """Errors as large as the distance to the only observed row."""
    observations = np.full(SHAPE, np.nan)
    observations[:, :, 0] = 0.0
    grid = Grid(np.arange(5.0), np.arange(8.0))
    problem = FieldProblem(observations, 1.0, np.arange(6.0), grid)
    truth = rng.normal(size=SHAPE)
    errors = np.broadcast_to(np.arange(5.0)[:, None], SHAPE)
    analysis = FieldAnalysis(truth + errors, seconds_per_map=2.0)
    scores = scores_of_fields(analysis, problem, truth)
    np.testing.assert_allclose(scores["rmse_by_day"], np.sqrt(6.0))
    assert [each["distance"] for each in scores["rmse_by_distance"]] == [0, 1, 2, 3, 4]
    np.testing.assert_allclose([e["rmse"] for e in scores["rmse_by_distance"]], np.arange(5.0))
    assert scores["bias"] == pytest.approx(2.0)
    assert scores["calibration"] is None


def test_a_period_brings_points_near():
    observations = np.full(SHAPE, np.nan)
    observations[..., 0] = 0.0
    grid = Grid(np.arange(5.0), np.arange(8.0), periods=(None, 8.0))
    problem = FieldProblem(observations, 1.0, np.arange(6.0), grid)
    scores = scores_of_fields(FieldAnalysis(np.ones(SHAPE)), problem, np.ones(SHAPE) * 2)
    assert max(each["distance"] for each in scores["rmse_by_distance"]) <= 4
