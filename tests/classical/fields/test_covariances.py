from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical.fields import FieldProblem
from tf4dvar.classical.fields.covariance_of_states import covariance_of_states, mean_of_states
from tf4dvar.classical.fields.covariances import KERNELS, KernelCovariance
from tf4dvar.classical.fields.local_analysis import BLOCK, blocks
from tf4dvar.data.grid import EARTH_RADIUS, Grid
from tf4dvar.errors import InputError

TIMES, ROWS, COLUMNS = 4, 6, 8
SHAPE = (TIMES, ROWS, COLUMNS)
EVERY = np.arange(np.prod(SHAPE))
GRIDS = {
    "plane": Grid(np.arange(6.0), np.arange(8.0)),
    "box": Grid(np.arange(6.0), np.arange(8.0), periods=(6.0, 8.0)),
    "channel": Grid(np.arange(6.0), np.arange(8.0)[::-1], periods=(None, 8.0)),
    "sphere": Grid(np.linspace(-80, 80, 6), np.linspace(-180, 135, 8), spherical=True),
}


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_kernel_is_positive_definite(kernel, grid):
    length, *drift = (5000.0, 900.0, -700.0) if grid == "sphere" else (3.0, 0.4, -0.7)
    covariance = KernelCovariance(GRIDS[grid], np.arange(4.0), kernel, length, 2.0, 1.7, *drift)
    matrix = covariance.between(EVERY, EVERY)
    np.testing.assert_allclose(np.diag(matrix), 1.7)
    np.testing.assert_array_equal(matrix, matrix.T)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * len(matrix)


@pytest.mark.parametrize(("drift_x", "drift_y"), [(2.0, 0.0), (0.0, -1.0), (-2.0, 1.0)])
@pytest.mark.parametrize("grid", ["plane", "box", "channel"])
def test_what_drifts_along_is_correlated_as_if_it_stayed(grid, drift_x, drift_y):
    of = GRIDS[grid]
    still = KernelCovariance(of, np.arange(4.0), "matern", 3.0, 2.0, 1.7)
    moving = replace(still, drift_x=drift_x, drift_y=drift_y)
    # From a point in the middle so many rows and columns in a day; x descends in the channel.
    columns = -drift_x if of.x[0] > of.x[-1] else drift_x
    start = np.array([1, 3, 4])
    later = start + np.array([1, drift_y, columns]).astype(int)
    stayed = start + np.array([1, 0, 0])
    place = [np.ravel_multi_index(tuple(each), SHAPE) for each in (start, later, stayed)]
    moved = moving.between(place[:1], place[1:2])
    np.testing.assert_allclose(moved, still.between(place[:1], place[2:]), rtol=1e-12)
    # And of one time nothing changes.
    today = EVERY[: ROWS * COLUMNS]
    np.testing.assert_allclose(moving.between(today, today), still.between(today, today), rtol=1e-9)


@pytest.mark.parametrize(("drift_x", "drift_y"), [(40.0, 0.0), (0.0, -30.0), (20.0, 30.0)])
def test_on_the_sphere_the_middle_drifts(drift_x, drift_y):
    grid = Grid(np.linspace(40, 50, 101), np.linspace(-30, -10, 101), spherical=True)
    covariance = KernelCovariance(
        grid, np.array([-1.0, 1.0]), "gaussian", 100.0, 5.0, 1.0, drift_x, drift_y
    )
    points = np.arange(2 * 101 * 101)
    middle = np.ravel_multi_index((0, 50, 50), (2, 101, 101))
    later = covariance.between([middle], points[101 * 101 :]).reshape(101, 101)
    row, column = np.unravel_index(np.argmax(later), later.shape)
    # Two days later, to the nearest point.
    north = np.radians(grid.y[row] - 45) * EARTH_RADIUS
    east = np.radians(grid.x[column] + 20) * EARTH_RADIUS * np.cos(np.pi / 4)
    assert abs(north - 2 * drift_y) < 7
    assert abs(east - 2 * drift_x) < 10
    assert later.max() == pytest.approx(np.exp(-(0.4**2) / 2), rel=0.01)


def waves(rng, samples, times):
    """States that vary in all dimensions."""
    noise = rng.normal(size=(samples, times, ROWS, COLUMNS))
    return noise + np.roll(noise, 1, 3) + 0.5 * np.roll(noise, (1, 1), (1, 2))


def problem(states, grid, times=TIMES):
    return FieldProblem(
        np.zeros((1, times, ROWS, COLUMNS)), 0.1, np.arange(1.0 * times), grid, states
    )


@pytest.mark.parametrize("grid", ["plane", "box", "channel"])
@pytest.mark.parametrize("times", [3, 30])
def test_a_covariance_of_states_is_positive_definite(grid, times, rng):
    covariance = covariance_of_states(problem(waves(rng, 5, times), GRIDS[grid]))
    matrix = covariance.between(EVERY, EVERY)
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-12)
    assert np.linalg.eigvalsh(matrix)[0] > -1e-12 * len(matrix)


def at_lag(values, lag, axis, period):
    """Values so far ahead, zero beyond the end."""
    moved = np.roll(values, -lag, axis)
    if not period:
        ends = np.arange(values.shape[axis]) + lag
        inside = (ends >= 0) & (ends < values.shape[axis])
        moved = moved * np.expand_dims(inside, [k for k in range(values.ndim) if k != axis])
    return moved


@pytest.mark.parametrize("grid", ["plane", "box", "channel"])
def test_it_is_the_weighted_mean_product_at_a_lag(grid, rng):
    land = np.zeros((ROWS, COLUMNS), bool)
    land[2:4, 3:5] = True
    periods = GRIDS[grid].periods
    states = np.where(land, np.nan, waves(rng, 3, 7))
    given = problem(states, Grid(np.arange(6.0), np.arange(8.0), periods=periods, land=land))
    covariance = covariance_of_states(given)
    weights = np.ones((7, ROWS, COLUMNS))
    for axis, period in enumerate((None, *periods)):
        places = (np.arange(weights.shape[axis]) + 0.5) / weights.shape[axis]
        sine = np.expand_dims(np.sin(np.pi * places), [k for k in range(3) if k != axis])
        weights = weights if period else weights * sine
    weights[:, land] = 0
    alike = (0, 1, *(k + 2 for k, period in enumerate(periods) if period))
    anomalies = np.where(land, 0, states)
    count = np.maximum(np.sum(np.broadcast_to(~land, states.shape), alike, keepdims=True), 1)
    anomalies = np.where(land, 0, anomalies - anomalies.sum(alike, keepdims=True) / count)
    here = (1, 4, 7)
    for lag in [(0, 0, 0), (0, 0, -1), (1, 0, -3), (1, -1, 0), (2, -4, -7), (-1, 1, -2)]:
        there = weights * anomalies
        for axis, period in enumerate((None, *periods)):
            there = at_lag(there, lag[axis], axis + 1, period)
        product = (weights * anomalies * there).sum() / (3 * np.square(weights).sum())
        points = [np.ravel_multi_index(np.add(here, by), SHAPE) for by in ((0, 0, 0), lag)]
        found = covariance.between(np.array(points[:1]), np.array(points[1:]))
        np.testing.assert_allclose(found, product, atol=1e-12)


def test_the_mean_is_of_every_point_but_along_a_period(rng):
    states = waves(rng, 3, 5)
    mean = mean_of_states(problem(states, GRIDS["channel"]))
    np.testing.assert_allclose(mean, np.broadcast_to(states.mean((0, 1, 3))[:, None], mean.shape))
    np.testing.assert_allclose(mean_of_states(problem(states, GRIDS["plane"])), states.mean((0, 1)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": None}, "no states"),
        ({"states": np.ones((1, 1, ROWS, COLUMNS))}, "no states"),
        ({"states": np.ones((2, 3, ROWS, COLUMNS))}, "all the same"),
        ({"times": np.array([0.0, 1.0, 2.0, 4.0])}, "Received times in steps of 1 to 2"),
        ({"grid": Grid(np.arange(6.0) ** 2, np.arange(8.0))}, "Received y in steps of 1 to 9"),
        (
            {"grid": Grid(np.arange(6.0), np.arange(8.0), periods=(None, 10.0))},
            "Received x in steps of 1 to 3",
        ),
    ],
)
def test_what_gives_no_covariance_is_refused(changes, message, rng):
    given = {
        "observations": np.zeros((1, *SHAPE)),
        "noise_variance": 0.1,
        "times": np.arange(4.0),
        "grid": GRIDS["plane"],
        "states": waves(rng, 2, 3),
    }
    with pytest.raises(InputError, match=message):
        covariance_of_states(FieldProblem(**(given | changes)))


def test_states_larger_than_the_memory_are_refused(rng):
    states = np.broadcast_to(waves(rng, 1, 1), (1, 10**9, ROWS, COLUMNS))
    given = problem(waves(rng, 1, 2), GRIDS["plane"])
    object.__setattr__(given, "states", states)
    with pytest.raises(InputError, match="Cut them to shorter series"):
        covariance_of_states(given)


@pytest.mark.parametrize("single_day", [False, True])
def test_blocks_hold_every_point_once(single_day, rng):
    covariance = KernelCovariance(GRIDS["plane"], np.arange(4.0), "matern", 3.0, 2.0, 1.0)
    wanted = rng.uniform(size=SHAPE) < 0.7
    groups = blocks(covariance, wanted, single_day)
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.flatnonzero(wanted))
    assert 1 < len(groups) < 20
    assert max(map(len, groups)) <= BLOCK
    if single_day:
        assert all(len(np.unique(group // (ROWS * COLUMNS))) == 1 for group in groups)
