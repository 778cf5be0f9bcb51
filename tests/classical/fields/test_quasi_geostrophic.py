from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.classical.fields import FIELD_METHODS, FieldProblem, quasi_geostrophic_method
from tf4dvar.classical.fields import quasi_geostrophic as module
from tf4dvar.classical.fields.climatology import simulated_heights
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.layers import QuasiGeostrophicFlow, QuasiGeostrophicODE
from tf4dvar.systems import QuasiGeostrophic

pytestmark = pytest.mark.long

Assimilation = FIELD_METHODS["4dvar-qg"]
POINTS, SPACING, DAYS = 16, 20.0, 6
# Of an observation, m; fields have 0.1.
NOISE = 0.01
SIDE = SPACING * np.arange(POINTS)
GRID = Grid(SIDE, SIDE, periods=(POINTS * SPACING, POINTS * SPACING))


def trajectories(layers, samples, times=DAYS):
    """Heights of the dynamics themselves, [sample, time, y, x, layer], decimetres."""
    rng = np.random.default_rng(3)
    kx, ky = np.meshgrid(np.arange(POINTS // 2 + 1), POINTS * np.fft.fftfreq(POINTS))
    noise = rng.normal(size=(samples, layers, POINTS, POINTS))
    waves = np.fft.rfft2(noise) * np.exp(-(kx**2 + ky**2) / 8) * (kx**2 + ky**2 > 0)
    state = np.fft.irfft2(waves)
    state = np.moveaxis(0.1 * state / state.std(), 1, -1)[:, None]
    ode = QuasiGeostrophicODE(1e3 * SPACING, layers, dtype="float64")
    flow = QuasiGeostrophicFlow(ode, 0.25, parts=1, dtype="float64")
    flow.build(state.shape)
    step = tf.function(flow.step)
    states = [state]
    while len(states) < times:
        state = states[-1]
        for _ in range(4):
            state = step(state)
        states.append(state)
    return np.concatenate(states, axis=1)


@pytest.fixture(scope="module")
def examples():
    return trajectories(1, 30)[..., 0]


def problem_of(truth, share=1.0, **changes):
    rng = np.random.default_rng(4)
    noisy = truth + NOISE * rng.normal(size=truth.shape)
    seen = rng.random(truth.shape) < share
    times = np.arange(float(truth.shape[1]))
    given = {"noise_variance": NOISE**2, "times": times, "grid": GRID}
    return FieldProblem(np.where(seen, noisy, np.nan), **(given | changes))


def error(analysis, truth):
    return (analysis.states - truth).std()


def test_one_layer_is_found_from_its_observations(examples):
    truth = examples[:1]
    done = []
    problem = problem_of(truth, states=examples[1:])
    analysis = Assimilation(iterations=20).analyse(problem, lambda *steps: done.append(steps))
    assert error(analysis, truth) < NOISE / 2
    assert done == [(1, 1)]
    assert 0 < analysis.settings["iterations"] <= 3 * 20


def test_two_layers_are_found_from_the_upper_one(monkeypatch):
    both = trajectories(2, 30)
    simulated = np.moveaxis(both[1:, :3], -1, 2)
    given = simulated, 1e3 * SPACING
    monkeypatch.setattr(quasi_geostrophic_method, "simulated_heights", lambda system: given)
    truth = both[:1, ..., 0]
    two = Assimilation(layers=2, iterations=27).analyse(problem_of(truth))
    assert error(two, truth) < NOISE / 2


def test_it_begins_at_the_first_guess(examples):
    truth = examples[:1]
    problem = problem_of(truth, share=0.2, states=examples[1:])
    assimilation = Assimilation(iterations=1)
    blind = assimilation.analyse(problem)
    led = assimilation.analyse(problem.with_first_guess(truth))
    assert error(led, truth) < NOISE < error(blind, truth)


def test_what_is_rough_in_a_first_guess_does_not_count(examples, rng):
    truth = examples[:1]
    problem = problem_of(truth, share=0.2, states=examples[1:])
    rough = truth + 0.1 * truth.std() * rng.normal(size=truth.shape)
    assimilation = Assimilation(iterations=3)
    led = assimilation.analyse(problem.with_first_guess(rough))
    assert error(led, truth) < (rough - truth).std() < error(assimilation.analyse(problem), truth)


def test_members_do_not_know_each_other_and_windows_follow_each_other(examples):
    truth = examples[:2]
    problem = problem_of(truth, share=0.5, states=examples[2:])
    assimilation = Assimilation(window=4.0, shift=1.0, iterations=15)
    together = assimilation.analyse(problem).states
    alone = replace(problem, observations=problem.observations[1:])
    np.testing.assert_allclose(assimilation.analyse(alone).states[0], together[1], atol=1e-6)
    assert (together - truth).std() < NOISE


def test_a_first_window_that_begins_from_nothing_has_thrice_the_iterations(examples):
    problem = problem_of(examples[:1], states=examples[1:])
    analysis = Assimilation(window=4.0, shift=1.0, iterations=1).analyse(problem)
    assert analysis.settings["iterations"] == pytest.approx((3 + 1 + 1) / 3)
    led = problem.with_first_guess(examples[:1])
    analysis = Assimilation(window=4.0, shift=1.0, iterations=1).analyse(led)
    assert analysis.settings["iterations"] == 1


def test_only_the_first_window_begins_at_a_first_guess(examples):
    problem = problem_of(examples[:1], states=examples[1:])
    assimilation = Assimilation(window=4.0, shift=1.0, iterations=5)
    guess = examples[:1] + 0.0
    led = assimilation.analyse(problem.with_first_guess(guess))
    guess[:, 1:] = 1e3
    other = assimilation.analyse(problem.with_first_guess(guess))
    np.testing.assert_array_equal(other.states, led.states)


@pytest.mark.parametrize(
    ("times", "length", "shift"), [(42, 21, 7), (42, 21, 5), (9, 9, 3), (7, 2, 1)]
)
def test_every_map_is_of_the_window_with_the_nearest_centre(times, length, shift):
    windows = module._windows(times, length, shift)
    kept = np.concatenate([each for _, each in windows])
    np.testing.assert_array_equal(kept, np.arange(times))
    for start, each in windows:
        assert ((each >= start) & (each < start + length)).all()
        inner = each[(each >= length // 2) & (each < times - length // 2)]
        assert (np.abs(inner - start - (length - 1) / 2) <= shift).all()


def test_a_control_makes_the_heights_that_it_is_of(rng):
    root = np.abs(rng.normal(size=(2, 2, 6, 4))) + np.eye(2)[..., None, None]
    root[0, 1] = 0.0
    root[..., -1:0:-1, 0] = root[..., 1:, 0]
    root[..., -1:0:-1, -1] = root[..., 1:, -1]
    root = (root + np.concatenate([root[..., :1, :], root[..., :0:-1, :]], axis=-2)) / 2
    heights = rng.normal(size=(2, 6, 6))

    def made(control, layers):
        waves = np.einsum("ijyx,jyx->iyx", root, np.fft.rfft2(control.reshape(2, 6, 6)))
        return np.fft.irfft2(waves)[:layers]

    def cost(control, layers):
        misfit = made(control, layers) - heights[:layers]
        return np.sum(control**2) + np.sum(misfit**2) / 0.3

    for layers in (1, 2):
        control = module._control(root, heights[:layers], 0.0)
        np.testing.assert_allclose(made(control, layers), heights[:layers], atol=1e-10)
        # With errors the two squares together are the least.
        likeliest = module._control(root, heights[:layers], 0.3)
        change = 1e-4 * rng.normal(size=likeliest.shape)
        least = cost(likeliest, layers)
        slope = cost(likeliest + change, layers) - cost(likeliest - change, layers)
        assert abs(slope) < 1e-7 * least
        assert least < cost(control, layers)


@pytest.mark.parametrize(
    ("grid", "said"),
    [
        (Grid(SIDE, SIDE), "without periods"),
        (Grid(SIDE / 10, SIDE / 10, spherical=True), "without periods"),
        (replace(GRID, land=np.eye(POINTS, dtype=bool)), "Received a grid with land"),
        (replace(GRID, x=2 * SIDE, periods=(320.0, 640.0)), "square cells"),
        (replace(GRID, periods=(320.0, 400.0)), "square cells"),
        (replace(GRID, x=SIDE[::-1].copy()), "ascending"),
    ],
)
def test_another_grid_is_refused(grid, said, examples):
    with pytest.raises(InputError, match=said):
        Assimilation().analyse(problem_of(examples[:1], grid=grid))


@pytest.mark.parametrize(
    ("settings", "changes", "said"),
    [
        ({}, {"times": np.array([0.0, 1, 2, 4, 5, 6])}, "1 to 2 days apart; expected regular"),
        ({}, {"states": np.ones((9, 2, POINTS, POINTS))}, "states of 2 times; expected 3"),
        ({"layers": 3}, {}, "Received 3 layers"),
        ({"dynamics_step": 1e-9}, {}, "Take a shorter window"),
        ({"shear": 0.0}, {}, "layers that flow alike"),
    ],
)
def test_what_it_cannot_take_is_refused(settings, changes, said, examples):
    with pytest.raises(InputError, match=said):
        Assimilation(**settings).analyse(problem_of(examples[:1], **changes))


def test_fields_without_waves_are_refused(examples):
    with pytest.raises(InputError, match="without a wave"):
        Assimilation().analyse(problem_of(examples[:1], states=0 * examples))


def test_a_climatology_is_simulated_once(monkeypatch):
    from tf4dvar.classical.fields import climatology

    changes = {"POINTS": 16, "SPIN_UP": 240, "APART": 48, "SAMPLES": 3}
    for name, value in changes.items():
        monkeypatch.setattr(climatology, name, value)
    system = QuasiGeostrophic(deformation_radius=21e3)
    heights, spacing = simulated_heights(system)
    assert heights.shape == (3, 3, 2, 16, 16)
    assert spacing == 10.5e3
    assert np.isfinite(heights).all()
    # Three days follow each other.
    changed = np.abs(np.diff(heights, axis=1)).max()
    assert 0 < changed < np.abs(heights[1:, 0] - heights[:-1, 2]).max() * 2
    assert simulated_heights(system)[0] is heights
    simulated_heights.cache_clear()
