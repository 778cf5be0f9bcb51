from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import pytest

from tf4dvar.classical import setting
from tf4dvar.classical.fields import FIELD_METHODS, FieldAnalysis, FieldMethod, FieldProblem
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.filling import Candidate, fill, noise_variance_of
from tf4dvar.filling.blend import Blend, as_good, blend_weights
from tf4dvar.filling.gap_windows import NothingHiddenError
from tf4dvar.filling.withheld_pixels import withheld_pixels

SHAPE = (2, 12, 8, 10)
NOISE = 0.01


@pytest.fixture(scope="module")
def near():
    """A method that knows the truth but for errors, and counts what it is shown."""

    @dataclass(frozen=True)
    class Near(FieldMethod):
        """The truth and errors."""

        name = "near"
        error: float = setting(1.0, "Standard deviation.")
        stated: float = setting(1.0, "The same as it tells it.")
        seed: int = setting(1, "Of the errors.")
        takes_states = True

        def solve(self, problem, progress):
            assert problem.states is not None
            errors = np.random.default_rng(self.seed).normal(size=SHAPE)
            truth = problem.states.reshape(SHAPE)
            shown = float(problem.observed.sum())
            return FieldAnalysis(
                truth + self.error * errors, np.full(SHAPE, self.stated), {"shown": shown}
            )

    yield Near
    del FIELD_METHODS["near"]


@pytest.fixture
def truth(rng):
    return rng.normal(size=SHAPE)


@pytest.fixture
def problem(rng, truth):
    """Half of it under clouds that are other ones each day, and land."""
    clouds = rng.random((*SHAPE[:2], 1, SHAPE[3])) < 0.5
    observed = truth + np.sqrt(NOISE) * rng.normal(size=SHAPE)
    land = np.zeros(SHAPE[2:], bool)
    land[0] = True
    grid = Grid(np.arange(8.0), np.arange(10.0), land=land)
    return FieldProblem(np.where(clouds, np.nan, observed), NOISE, np.arange(12.0), grid)


def candidates(near, truth, **errors):
    states = truth.reshape(-1, *SHAPE[1:])
    methods = {name: near(*given) for name, given in errors.items()}
    return {name: Candidate(method, states) for name, method in methods.items()}


def filled(problem, given, **options):
    return fill(problem, given, lambda label: nullcontext(lambda *done: None), **options)


def test_what_is_withheld_to_choose_is_of_other_days_than_what_scores(problem):
    withheld = withheld_pixels(problem.observed)
    days = [each.any(axis=(2, 3)) for each in withheld]
    assert not (days[0] & days[1]).any()
    for each, of_days in zip(withheld, days, strict=True):
        assert of_days.any(axis=1).all()
        assert not (each & ~problem.observed).any()
        # Something of the day is left.
        assert (problem.observed & ~each).any(axis=(2, 3)).all()
    np.testing.assert_array_equal(withheld.both, withheld[0] | withheld[1])
    assert (withheld_pixels(problem.observed, seed=1).both != withheld.both).any()


def test_tracks_and_the_same_gaps_every_day():
    tracks = np.zeros((1, 6, 6, 6), bool)
    for day in range(6):
        tracks[0, day, day] = True
    withheld = withheld_pixels(tracks)
    assert (
        withheld.choice.any(axis=(0, 2, 3)).sum() == withheld.scoring.any(axis=(0, 2, 3)).sum() == 1
    )
    with pytest.raises(InputError, match="nothing can be withheld"):
        withheld_pixels(np.ones((1, 6, 6, 6), bool))


def test_weights_are_the_best_of_all(rng):
    errors = rng.normal(size=(3, 600)) * [[1.0], [1.2], [2.0]] + 0.5 * rng.normal(size=600)
    days = np.arange(600) // 20
    weights = blend_weights(errors, days)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all()
    least = np.square(weights @ errors).mean()
    for other in rng.dirichlet(np.ones(3), 500):
        assert least <= np.square(other @ errors).mean() + 1e-12


def test_a_blend_that_is_hardly_better_is_none(rng):
    good = rng.normal(size=400)
    days = np.arange(400) // 100
    np.testing.assert_array_equal(blend_weights(np.stack([3 * good, good]), days), [0, 1])
    same = np.stack([good, good])
    assert blend_weights(same, days).max() == 1
    np.testing.assert_array_equal(blend_weights(good[None], days), [1])
    np.testing.assert_array_equal(blend_weights(np.zeros((2, 4)), np.arange(4)), [1, 0])


def test_the_best_candidate_fills_and_observed_values_stay(near, problem, truth):
    given = candidates(near, truth, poor=(1.0,), good=(0.1, 0.1))
    filling = filled(problem, given)
    assert filling.weights == {"good": 1.0}
    expected, stated, *_ = given["good"].analyse(problem, lambda *done: None)
    gaps = ~problem.observed & problem.grid.sea
    np.testing.assert_array_equal(filling.states[gaps], expected[gaps])
    np.testing.assert_array_equal(filling.spread[gaps], stated[gaps])
    seen = problem.observed
    np.testing.assert_array_equal(filling.states[seen], problem.observations[seen])
    np.testing.assert_allclose(filling.spread[seen], np.sqrt(NOISE))
    assert np.isnan(filling.states[..., ~problem.grid.sea]).all()
    smooth = filled(problem, given, smooth=True)
    np.testing.assert_array_equal(smooth.states[seen], expected[seen])
    np.testing.assert_array_equal(smooth.states[gaps], filling.states[gaps])


def test_scores_are_of_what_no_choice_has_seen(near, problem, truth):
    given = candidates(near, truth, poor=(1.0, 2.0, 1), good=(0.9, 2.0, 2))
    filling = filled(problem, given)
    withheld = withheld_pixels(problem.observed)
    shown = (problem.observed & ~withheld.both).sum()
    assert all(settings == {"shown": shown} for settings in filling.settings.values())
    assert filling.weights["poor"] == pytest.approx(0.45, abs=0.1)
    states = {
        name: each.analyse(problem, lambda *done: None).states for name, each in given.items()
    }
    states["written"] = sum(weight * states[name] for name, weight in filling.weights.items())
    for name, of in states.items():
        errors = (of - problem.observations)[withheld.scoring]
        scores = filling.scores[name]
        assert scores["pixels"] == len(errors)
        assert scores["rmse"] == pytest.approx(np.sqrt(np.square(errors).mean()))
        if name != "written":  # stated as 2
            assert scores["scaled_error"] == pytest.approx(errors.std() / np.sqrt(4 + NOISE))
    # Twice too large as stated, a blend's error is scaled.
    rmse = {name: of["rmse"] for name, of in filling.scores.items()}
    assert rmse["written"] < 0.95 * min(rmse["poor"], rmse["good"])
    assert filling.scores["written"]["scaled_error"] == pytest.approx(1, abs=0.1)


def test_what_is_withheld_does_not_reach_the_maps_that_are_scored(near, problem, truth):
    given = candidates(near, truth, good=(0.1,))
    withheld = withheld_pixels(problem.observed)
    poisoned = np.where(withheld.scoring, 1e6, problem.observations)
    filling = filled(replace(problem, observations=poisoned), given)
    assert filling.scores["good"]["rmse"] == pytest.approx(1e6, rel=1e-3)
    assert filling.settings == filled(problem, given).settings


def test_a_candidate_that_refuses_is_left_out(near, problem, truth, caplog):
    some = candidates(near, truth, good=(0.1,))
    wrong = Candidate(near(), truth[..., :3].reshape(-1, *SHAPE[1:3], 3))
    filling = filled(problem, {"wrong": wrong, **some})
    assert "wrong is left out: Received states of shape" in caplog.text
    assert {*filling.scores} == {"good", "written"}
    with pytest.raises(InputError, match="Each of wrong refuses"):
        filled(problem, {"wrong": wrong})


def test_a_covariate_explains_a_part(near, problem, truth, rng):
    other = rng.normal(size=SHAPE)
    both = replace(problem, observations=problem.observations + 3 * other + 5)
    method = near(0.1, 0.1)
    plain = Candidate(method, truth.reshape(-1, *SHAPE[1:]))
    explained = plain._replace(covariate=other)
    analysis = explained.analyse(both, lambda *done: None)
    slope = analysis.settings["slope"]
    assert slope == pytest.approx(3, abs=0.2)
    np.testing.assert_allclose(
        analysis.states, plain.analyse(both, lambda *done: None).states + slope * other
    )
    still = plain._replace(covariate=np.ones(SHAPE)).analyse(both, lambda *done: None)
    assert still.settings["slope"] == 0


def test_what_is_worse_than_the_best_takes_no_part(near, problem, truth, rng):
    given = candidates(near, truth, poor=(2.0, 2.0, 1), good=(0.9, 2.0, 2), even=(0.9, 2.0, 3))
    assert "poor" not in filled(problem, given).weights
    # The best blend of all would have something of it.
    errors = rng.normal(size=(2, 4000)) * [[0.9], [2.0]]
    days = np.arange(4000) // 200
    assert blend_weights(errors, days)[1] > 0.1
    assert as_good(errors, days).tolist() == [True, False]


def test_the_first_fills_where_no_other_is_better_for_sure(near, problem, truth):
    """Of candidates that are equally good one is always the best, by chance."""
    common = truth + np.random.default_rng(7).normal(size=truth.shape)
    for seed in range(4):
        even = candidates(near, common, first=(0.1, 2.0, seed), other=(0.1, 2.0, seed + 9))
        assert filled(problem, even).weights == {"first": 1.0}
    better = candidates(near, truth, first=(1.0, 2.0, 1), other=(0.5, 2.0, 2))
    assert filled(problem, better).weights["other"] > 0.5


def test_a_network_that_refuses_is_left_out(near, problem, truth, caplog):
    class Refuses:
        def analyse(self, *given):
            raise NothingHiddenError("Received nothing to learn from.")

    given = {"kriging": next(iter(candidates(near, truth, good=(0.1,)).values()))}
    filling = filled(problem, given, network=Refuses())
    assert {*filling.scores} == {"kriging", "written"}
    assert "network is left out: Received nothing to learn from." in caplog.text


def test_a_network_that_is_best_fills_with_the_error_of_kriging_scaled(near, problem, truth):
    class Knows:
        def analyse(self, maps, progress, kriging):
            states = truth + 0.5 * np.random.default_rng(9).normal(size=SHAPE)
            return FieldAnalysis(states, kriging.spread)

    given = {"kriging": next(iter(candidates(near, truth, poor=(10.0, 4.0)).values()))}
    filling = filled(problem, given, network=Knows())
    assert filling.weights == {"network": 1.0}
    assert filling.scores["network"]["scaled_error"] < 0.2
    assert filling.scores["written"]["scaled_error"] == pytest.approx(1, abs=0.2)


def test_the_stated_variance_of_a_blend_is_a_mean():
    maps = {"a": (np.zeros(3), np.ones(3)), "b": (np.ones(3), 2 * np.ones(3))}
    states, spread = Blend({"a": 0.25, "b": 0.75}, scale=4.0).of(maps)
    np.testing.assert_allclose(states, 0.75)
    np.testing.assert_allclose(spread, np.sqrt(4 * (0.25 + 0.75 * 4)))


def test_the_noise_of_maps(rng):
    y, x = np.mgrid[:60, :70].astype(float)
    plane = 3 * x - 2 * y
    maps = plane + 0.3 * rng.normal(size=(4, 60, 70))
    maps[rng.random(maps.shape) < 0.3] = np.nan
    assert noise_variance_of(maps) == pytest.approx(0.09, rel=0.05)
    # Stripes along y are its own along x alone.
    assert noise_variance_of(maps + 5 * (x % 2)) == pytest.approx(0.09, rel=0.1)
    # Waves that run aslant are of the field, and fronts along both axes.
    field = np.sin((x + y) / 2) + 5 * (x // 10 % 2) + 5 * (y // 10 % 2)
    assert noise_variance_of(maps + field) == pytest.approx(0.09, rel=0.1)
    # Of what is observed along a row there is but one axis.
    row = np.where(y == 30, maps + np.sin(x / 3), np.nan)
    assert noise_variance_of(row) == pytest.approx(0.09, rel=0.3)
    waves = np.sin(x / 5) * np.cos(y / 6)
    assert 0 < noise_variance_of(waves) < 1e-4
    for silent in (plane, np.where(x % 2 == y % 2, maps, np.nan)):
        with pytest.raises(InputError, match="noise_variance"):
            noise_variance_of(silent)
