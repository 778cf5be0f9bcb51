from dataclasses import replace

import numpy as np
import pytest

from tf4dvar.classical.fields import FieldProblem, QuasiGeostrophicSmoother
from tf4dvar.classical.fields import quasi_geostrophic_method as module
from tf4dvar.classical.fields.quasi_geostrophic_smoother import after
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic

POINTS, SPACING, DAYS = 16, 20.0, 8
# Of an observation, m; fields have 0.1.
NOISE = 0.01
SIDE = SPACING * np.arange(POINTS)
STATES = 0.01 * np.random.default_rng(5).normal(size=(9, 3, POINTS, POINTS))
GRID = Grid(SIDE, SIDE, periods=(POINTS * SPACING, POINTS * SPACING))


def trajectories(layers, samples, rng):
    """Heights of the dynamics themselves, [sample, time, layer, y, x], m."""
    system = QuasiGeostrophic(layers=layers, points=POINTS, length=1e3 * SPACING * POINTS)
    kx, ky = np.meshgrid(np.arange(POINTS // 2 + 1), POINTS * np.fft.fftfreq(POINTS))
    noise = rng.normal(size=(samples, layers, POINTS, POINTS))
    waves = np.fft.rfft2(noise) * np.exp(-(kx**2 + ky**2) / 8) * (kx**2 + ky**2 > 0)
    heights = np.fft.irfft2(waves)
    heights *= 0.1 / heights.std()
    days = zip(range(DAYS), system.days(system.state_of(heights)), strict=False)
    return np.stack([system.heights(state) for _, state in days], axis=1)


def problem_of(truth, share=0.3, **changes):
    rng = np.random.default_rng(4)
    noisy = truth + NOISE * rng.normal(size=truth.shape)
    seen = rng.random(truth.shape) < share
    given = {"noise_variance": NOISE**2, "times": np.arange(float(DAYS)), "grid": GRID}
    return FieldProblem(np.where(seen, noisy, np.nan), **(given | changes))


def test_heights_go_on_as_the_system_says_and_keep_their_mean(rng):
    heights = trajectories(2, 3, rng)
    system = QuasiGeostrophic(points=POINTS, length=1e3 * SPACING * POINTS)
    found = after(system, heights[:, 0] + 0.5, 3.0)
    np.testing.assert_allclose(found, heights[:, 3] + 0.5, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_field_is_found_from_observations_of_its_upper_layer(layers, rng, monkeypatch):
    fields = trajectories(layers, 31, rng)
    truth = fields[:1, :, 0]
    simulated = fields[1:, :3], 1e3 * SPACING
    monkeypatch.setattr(module, "simulated_heights", lambda system: simulated)
    smoother = QuasiGeostrophicSmoother(layers=layers, members=80, inflation=1.02)
    analysis = smoother.analyse(problem_of(truth))
    error = analysis.states - truth
    assert error.std() < 0.1 * truth.std()
    assert 0.7 < (error / analysis.spread).std() < 1.5
    # What is observed later is known of the first day, too.
    first = np.where(np.arange(DAYS)[:, None, None] == 0, problem_of(truth).observations, np.nan)
    blind = smoother.analyse(replace(problem_of(truth), observations=first)).states - truth
    assert error[:, 0].std() < blind[:, 0].std()


def test_states_of_the_problem_are_its_climatology(rng):
    fields = trajectories(1, 31, rng)[:, :, 0]
    given = problem_of(fields[:1], states=fields[1:])
    smoother = QuasiGeostrophicSmoother(members=80)
    assert (smoother.analyse(given).states - fields[:1]).std() < 0.1 * fields.std()


@pytest.mark.parametrize("days", [0.25, 1 / 3, 0.9, 1.0, 1.5, 2.0, 7.0])
def test_steps_of_the_dynamics_divide_the_time_between_two_maps(days):
    system = QuasiGeostrophicSmoother()._system(POINTS, 2e4, days)
    steps = days * 86_400 / system.time_step
    assert abs(steps - round(steps)) < 1e-9 * steps
    assert system.time_step <= 3600


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({}, {"grid": Grid(SIDE, SIDE)}, "without periods"),
        ({}, {"grid": Grid(SIDE / 10, SIDE / 10, spherical=True)}, "without periods"),
        ({}, {"grid": replace(GRID, land=np.eye(POINTS, dtype=bool))}, "grid with land"),
        ({}, {"times": np.arange(DAYS) ** 1.5}, "expected regular"),
        ({}, {"states": np.ones((9, 2, POINTS, POINTS))}, "states of 2 times; expected 3"),
        ({}, {"states": np.ones((9, 3, POINTS, POINTS))}, "without a wave"),
        ({"layers": 3}, {}, "Received 3 layers"),
        ({"shear": 0.0}, {}, "layers that flow alike"),
        ({"members": 10**9}, {"states": STATES}, "fewer members"),
        ({}, {"states": 1e4 * STATES}, "Look at the units"),
    ],
)
def test_what_it_cannot_take_is_refused(settings, changes, said, rng):
    truth = 0.1 * rng.normal(size=(1, DAYS, POINTS, POINTS))
    with pytest.raises(InputError, match=said):
        QuasiGeostrophicSmoother(**settings).analyse(problem_of(truth, **changes))


def test_a_box_that_is_no_square_is_refused(rng):
    half = replace(GRID, y=SIDE[:8], periods=(8 * SPACING, POINTS * SPACING))
    truth = 0.1 * rng.normal(size=(1, DAYS, 8, POINTS))
    with pytest.raises(InputError, match="8 x 16 points; expected as many rows as columns"):
        QuasiGeostrophicSmoother().analyse(problem_of(truth, grid=half))
