"""States that do not fit their observations are told of; those that fit are not."""

import json
import logging

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import succeed
from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    FixedStepCell,
    GradientSolver,
    LinearObservation,
)
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.models.state_checks import suspect_windows
from tf4dvar.systems import Lorenz63

NOISE = 2.0


def make_model(**settings):
    model = FourDVarNet(GENN(4), GradientSolver(FixedStepCell(0.1), 0), **settings)
    model.build((None, None, 3) if "observation" not in settings else (None, None, 1))
    model.normalisation.mean.assign([1.0, 2.0, 3.0])
    model.normalisation.std.assign([2.0, 4.0, 8.0])
    return model


@pytest.fixture
def data(rng):
    truth = 10 * rng.normal(size=(500, 20, 3))
    observations = truth + np.sqrt(NOISE) * rng.normal(size=truth.shape)
    observations[rng.random(truth.shape) < 0.7] = np.nan
    return observations.astype("float32"), truth.astype("float32")


def test_the_truth_itself_is_never_suspect(data):
    observations, truth = data
    model = make_model(noise_variance=NOISE)
    assert not suspect_windows(model, {"observations": observations}, truth).any()


def test_what_is_farther_off_than_noise_is(data):
    observations, truth = data
    model = make_model(noise_variance=NOISE)
    wrong = truth.copy()
    wrong[::2] += 4.0
    wrong[1, 3, 2] = observations[1, 3, 2] = np.nan
    found = suspect_windows(model, {"observations": observations}, wrong)
    expected = np.arange(500) % 2 == 0
    np.testing.assert_array_equal(found, expected)


def test_the_noise_of_every_observation_counts(data):
    observations, truth = data
    model, states = make_model(noise_variance=NOISE), truth + 4.0
    variance = np.full(observations.shape, np.nan, "float32")
    variance[:250] = 100.0
    inputs = {"observations": observations, "noise_variance": variance}
    np.testing.assert_array_equal(suspect_windows(model, inputs, states), np.arange(500) >= 250)


def test_states_that_are_not_finite_are_suspect_and_windows_without_observations_are_not(data):
    observations, truth = data
    model, states = make_model(noise_variance=NOISE), truth.copy()
    time, component = np.argwhere(np.isfinite(observations[7]))[0]
    states[7, time, component] = np.nan
    observations[9] = np.nan
    states[9] = 1e6
    found = suspect_windows(model, {"observations": observations}, states)
    np.testing.assert_array_equal(np.flatnonzero(found), [7])


def test_it_is_what_is_observed_of_the_state_that_is_compared(data):
    _, truth = data
    model = make_model(
        observation=LinearObservation(np.array([[1.0, -1.0, 0.0]])), noise_variance=NOISE
    )
    seen = {"observations": truth[..., :1] - truth[..., 1:2]}
    shifted = truth + np.float32([7.0, 7.0, 7.0])
    assert not suspect_windows(model, seen, shifted).any()
    assert suspect_windows(model, seen, truth + np.float32([7.0, 0.0, 0.0])).all()


def test_where_the_noise_is_not_known_none_is(data):
    observations, truth = data
    assert not suspect_windows(make_model(), {"observations": observations}, truth + 9).any()


@pytest.mark.long
def test_a_published_model_says_on_which_windows_it_is_wrong(tmp_path, caplog):
    """Its windows, and windows cut three steps later: an error of 178 came without a word."""
    longer = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 40, 205, seed=3)
    as_trained, later = longer.isel(time=slice(200)), longer.isel(time=slice(5, None))
    told = {}
    for name, windows in (("as_trained", as_trained), ("later", later)):
        windows.to_netcdf(tmp_path / f"{name}.nc")
        out = tmp_path / f"{name}_states.nc"
        command = ("reconstruct", "l63-c", "--data", tmp_path / f"{name}.nc", "--out", out)
        told[name] = json.loads(succeed(*command, "--json"))["suspect"]
        with xr.open_dataset(out) as states:
            assert int(states["suspect"].sum()) == told[name]
    assert told == {"as_trained": 0, "later": 40}
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_model("l63-c").predict(later["observations"].values, verbose=0)
    assert "40 of 40 windows do not fit their observations" in caplog.text


@pytest.mark.parametrize(("steps", "warned"), [(20, False), (22, False), (30, True), (10, True)])
@pytest.mark.parametrize("labelled", [True, False])
def test_windows_of_a_length_that_the_guess_does_not_know_are_told(steps, warned, labelled, caplog):
    plan = protocol_plan("l63", "T")
    model = FourDVarNet(
        GENN(4), GradientSolver(FixedStepCell(0.1), 0), AttentionFirstGuess(4, 8, 1, 2)
    )
    model.adapt(simulate_dataset(Lorenz63(), plan, 4, steps=20, seed=3))
    data = simulate_dataset(Lorenz63(), plan, 4, steps=steps, seed=4)
    model.predict(data if labelled else data["observations"].values, verbose=0)
    told = [record for record in caplog.records if "Received windows of" in record.message]
    assert len(told) == warned
    # A convolution knows no place.
    other = make_model()
    other.signature = model.signature
    caplog.clear()
    other.predict(data if labelled else data["observations"].values, verbose=0)
    assert not [record for record in caplog.records if "Received windows of" in record.message]
