"""Models on windows that slide over a series."""

import logging

import numpy as np
import pytest

from tests.classical.cycled.test_filters import run
from tf4dvar.classical import Gaussian, Problem
from tf4dvar.cycling import BENCHMARKS, ModelFilter
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
)
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.systems import Lorenz63, trajectories

STEPS, WINDOW = 53, 20


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    network = AttentionFirstGuess(4, 8, 1, 2, weighted=True, background=True, outputs=2)
    model = FourDVarNet(
        GENN(4),
        GradientSolver(FixedStepCell(0.1), 2),
        noise_variance=2.0,
        uncertainty=GaussianPosterior(network),
    )
    model.adapt(np.random.default_rng(0).normal(size=(4, WINDOW, 3)) * 8 + 10)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return str(path)


@pytest.fixture
def problem(rng):
    truth = trajectories(Lorenz63(), rng.normal(size=(2, 3)) + 20.0, STEPS)
    observations = truth + np.sqrt(2.0) * rng.normal(size=truth.shape)
    observations[:, 1::4] = np.nan
    observations[0, 7:30, 1] = np.nan
    return Problem(observations, None, 2.0, Gaussian(np.zeros(3), 50.0), system=Lorenz63())


@pytest.mark.parametrize(("advance", "lag"), [(1, 0), (7, 0), (6, 5), (10, 10)])
def test_every_time_is_of_the_first_window_that_goes_on_for_the_lag(
    model_file, problem, advance, lag
):
    method = ModelFilter(model=model_file, window=WINDOW, advance=advance, lag=lag)
    mean, spread, misfit = run(method, problem)
    assert mean.shape == problem.shape
    starts = [*range(0, STEPS - WINDOW, advance), STEPS - WINDOW]
    model = load_model(model_file)
    for time in range(STEPS):
        start = next((each for each in starts if time + lag < each + WINDOW), starts[-1])
        seen = problem.observations[:, start : start + WINDOW].astype("float32")
        variance = np.where(np.isnan(seen), np.nan, np.float32(2.0))
        expected = model.posterior({"observations": seen, "noise_variance": variance})
        np.testing.assert_allclose(mean[:, time], expected.mean[:, time - start], atol=1e-4)
        np.testing.assert_allclose(spread[:, time], expected.std[:, time - start], atol=1e-4)
    seen = problem.observed.any(axis=2)
    np.testing.assert_array_equal(np.isnan(misfit), ~seen)
    squares = np.square(problem.observations - mean)[seen] / 2.0
    np.testing.assert_allclose(misfit[seen], np.nanmean(squares, axis=1), atol=1e-4)


@pytest.mark.parametrize("length", [1, 15, 100])
@pytest.mark.parametrize(("advance", "lag"), [(7, 0), (6, 5)])
def test_pieces_are_the_whole(model_file, problem, length, advance, lag):
    method = ModelFilter(model=model_file, window=WINDOW, advance=advance, lag=lag)
    whole, position, parts, number = run(method, problem), None, [], 0
    while (span := method.span(number, length, STEPS)) is not None:
        ends = span[1] == STEPS
        found = list(method.run(problem.between(*span), position, span[0], ends=ends))
        position, number = found[-1][0], number + 1
        parts += [estimate for _, estimate in found]
    for all_, of in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_allclose(all_, np.stack(of, axis=1), atol=1e-4)


def test_a_series_shorter_than_a_window_is_one(model_file, problem):
    method = ModelFilter(model=model_file)
    assert method.span(0, 1000, STEPS) == (0, STEPS)
    assert method.span(1, 1000, STEPS) is None
    assert run(method, problem)[0].shape == problem.shape


def test_what_no_window_would_give_is_refused():
    with pytest.raises(InputError, match="window=20, advance=15 and lag=6; expected windows as"):
        ModelFilter(window=20, advance=15, lag=6)


def test_a_model_that_does_not_fit_is_told(model_file, problem, caplog):
    far = Problem(problem.observations + 100.0, None, 1e-3, problem.background, system=Lorenz63())
    with caplog.at_level(logging.WARNING):
        *_, (position, _) = ModelFilter(model=model_file, window=WINDOW, advance=5).run(far)
    assert position.lost.all()
    assert "model has lost 2 of 2 series" in caplog.text


def test_a_benchmark_of_filters_has_none():
    with pytest.raises(InputError, match="Received the method 'model'"):
        BENCHMARKS["sakov2012"].case("model")
