import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tf4dvar.data import Members, Series, Signature
from tf4dvar.errors import InputError
from tf4dvar.layers import Lorenz63ODE, RK4Flow
from tf4dvar.models import load_model
from tf4dvar.training import train_on
from tf4dvar.training.own_windows import GIVEN, GivenWindows, SeriesWindows
from tf4dvar.training.withheld import distance, interpolated, withheld_from

pytestmark = pytest.mark.long


def stations(rows=400, share=0.7):
    rng = np.random.default_rng(1)
    hours = np.arange(rows)
    t = 15 + 8 * np.sin(2 * np.pi * hours / 24) + 0.3 * rng.normal(size=rows)
    p = 101_300 + 500 * np.cos(2 * np.pi * hours / 24) + 30 * rng.normal(size=rows)
    data = xr.Dataset(
        {"t": ("time", t, {"units": "degC"}), "p": ("time", p, {"units": "Pa"})},
        {"time": pd.date_range("2020-01-01", periods=rows, freq="h")},
    )
    return data.where(xr.DataArray(rng.random((rows, 2)) < share, dims=("time", "v")).isel(v=0))


def windows_of(data, window=24, seed=0, truth=None):
    return SeriesWindows(Members.of(data), truth and Members.of(truth), window, window // 4, seed)


def first_batch(windows, number=0):
    return next(iter(windows.batches(8, number, slice(None)).as_numpy_iterator()))


def test_what_is_withheld_is_the_target_and_is_not_given():
    observations, target, weights = first_batch(windows_of(stations()))
    withheld = np.isnan(observations) & np.isfinite(target)
    assert 0.05 < withheld.mean() < 0.5
    np.testing.assert_array_equal(observations[~withheld], target[~withheld])
    given = np.isfinite(observations)
    np.testing.assert_array_equal(weights[given], np.float32(GIVEN))
    assert (weights[withheld] <= 1.0).all()
    assert (weights[withheld] > 0.0).all()


def test_validation_windows_share_no_time_with_those_of_the_training():
    data = stations()
    # A value that tells its time.
    data["t"] = data["t"] * 0 + np.arange(400.0)
    windows = windows_of(data)
    trained = {*np.unique(first_batch(windows)[1][..., 0][:, :])}
    seen = {value for number in range(20) for value in np.unique(first_batch(windows, number)[1])}
    validated = {*np.unique(windows.validation[1][..., 0])} - {np.nan}
    assert trained
    assert not {v for v in seen & validated if np.isfinite(v)}


def test_a_pass_depends_on_its_number_alone():
    one, other = windows_of(stations()), windows_of(stations())
    for first, second in zip(first_batch(one, 3), first_batch(other, 3), strict=True):
        np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first_batch(one, 4)[1], first_batch(one, 3)[1], equal_nan=True)


def test_gaps_are_withheld_as_they_lie_in_other_windows():
    rng = np.random.default_rng(0)
    observations = np.ones((200, 10, 2))
    observations[:100, :5, 1] = np.nan
    withheld = withheld_from(observations, rng)
    assert not withheld[np.isnan(observations)].any()
    # Of the second component the first half is withheld more often than a tenth, of others not.
    share = withheld[100:].mean(0)
    assert (share[:5, 1] > 0.2).all()
    assert (share[:, 0] < 0.2).all()


def test_distance_is_in_steps_to_the_nearest_observation():
    observations = np.array([[np.nan, 1.0, np.nan, np.nan, np.nan, 2.0], [np.nan] * 6])[..., None]
    np.testing.assert_array_equal(distance(observations)[0, :, 0], [1, 1, 1, 2, 1, 1])
    np.testing.assert_array_equal(distance(observations)[1, :, 0], 6)


def test_linear_interpolation_is_that_of_numpy():
    observations = np.array([[np.nan, 1.0, np.nan, 3.0, np.nan], [np.nan] * 5])[..., None]
    np.testing.assert_array_equal(interpolated(observations)[0, :, 0], [1, 1, 2, 3, 3])
    np.testing.assert_array_equal(interpolated(observations)[1, :, 0], 2.0)


def test_a_training_on_own_data_is_resumed_where_it_was(tmp_path):
    series = Members.of(stations())
    settings = {"window": 24, "seed": 1, "verbose": 0}
    train_on(series, tmp_path / "a", epochs=1, **settings)
    model, errors = train_on(series, tmp_path / "b", epochs=2, **settings)
    assert set(errors) == {"t", "p"}
    assert all(np.isfinite(error).all() for error in errors.values())
    assert model.signature.components == ("t", "p")
    assert (model.signature.window, model.signature.overlap) == (24, 6)
    record = json.loads((tmp_path / "b" / "config.json").read_text())
    assert record["options"]["window"] == 24
    again, _ = train_on(series, tmp_path / "b", epochs=2, resume=True, **settings)
    xr.testing.assert_equal(again.reconstruct(series.dataset), model.reconstruct(series.dataset))
    with pytest.raises(InputError, match="Resume with the same options"):
        train_on(series, tmp_path / "a", epochs=2, resume=True, **settings)
    assert load_model(tmp_path / "b").signature == model.signature


def test_noise_that_is_told_weighs_the_observations(tmp_path):
    data = stations()
    data["t_noise_variance"] = data["t"] * 0 + 0.09
    data["p_noise_variance"] = data["p"] * 0 + 900.0
    model, _ = train_on(Members.of(data), tmp_path, window=24, epochs=1, verbose=0)
    np.testing.assert_allclose(model.noise_variance, [0.09, 900.0])
    assert np.isfinite(model.reconstruct(data)["t"]).all()


def test_true_states_are_learned_from_where_they_are_known(tmp_path):
    data, truth = stations(), stations(share=1.0)
    truth = truth.where(truth["time"] < truth["time"][350])
    windows = windows_of(data, truth=truth)
    observations, target = first_batch(windows)
    assert np.isfinite(target).sum() > np.isfinite(observations).sum()
    model, errors = train_on(
        Members.of(data), tmp_path, Members.of(truth), window=24, epochs=1, verbose=0
    )
    assert model.training_loss.truth_weight > 0
    assert np.isfinite([*errors["t"], *errors["p"]]).all()


def test_known_dynamics_are_a_prior_of_own_data(tmp_path, windows):
    states = windows["truth"][0]
    data = xr.Dataset(
        {name: ("time", states.values[:, i]) for i, name in enumerate("xyz")},
        {"time": np.arange(200) * 0.01},
    )
    flow = RK4Flow(Lorenz63ODE(trainable=False), 0.01)
    model, _ = train_on(Members.of(data), tmp_path, window=20, flow=flow, epochs=1, verbose=0)
    assert isinstance(model.prior, RK4Flow)


def test_windows_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="Received overlap=24 of windows of 24 steps"):
        train_on(Members.of(stations()), tmp_path, window=24, overlap=24)
    with pytest.raises(InputError, match=r"Received 100 times for windows of 24.* 161 times"):
        windows_of(stations(100))


def test_windows_are_taken_as_they_are_and_the_last_ones_validate(windows):
    given = GivenWindows(windows, seed=0)
    assert (given.number, len(given.validation[1])) == (34, 6)
    np.testing.assert_array_equal(given.validation[1], windows["truth"][34:])
    first = [first_batch(given, number)[1] for number in (0, 1, 0)]
    np.testing.assert_array_equal(first[0], first[2])
    assert not np.array_equal(first[0], first[1])
    one_pass = given.batches(34, 0, slice(None)).as_numpy_iterator()
    trained = np.sort(next(iter(one_pass))[1], axis=0)
    np.testing.assert_array_equal(trained, np.sort(windows["truth"][:34].astype("float32"), axis=0))
    observed = GivenWindows(windows.drop_vars("truth"), seed=0)
    observations, target, weights = first_batch(observed)
    assert (np.isfinite(target) & np.isnan(observations)).any()
    assert weights.shape == target.shape
    with pytest.raises(InputError, match="Received 1 window; expected two or more"):
        GivenWindows(windows[{"window": slice(1)}], seed=0)


def test_a_model_is_trained_on_windows(tmp_path, windows):
    short = windows.isel(time=slice(40), window=slice(16))
    short["noise_variance"] = ("component", [2.0, 3.0, 4.0])
    model, errors = train_on(short, tmp_path, epochs=1, verbose=0)
    assert model.signature.components == ("x", "y", "z")
    assert (model.signature.window, model.training_loss.truth_weight > 0) == (40, True)
    assert set(errors) == {"x", "y", "z"}
    # Over what is observed; of y and z nothing is.
    assert model.noise_variance[0] == 2.0
    assert model.reconstruct(short)["state"].shape == (16, 40, 3)


def test_a_series_is_put_in_the_order_of_a_system():
    data = stations()
    signature = Signature(("p", "t"), 2, ("Pa", "degC"))
    series = Series.of(data).in_order_of(signature)
    assert series.layout.variables == ("p", "t")
    np.testing.assert_array_equal(series.observations[:, 1], data["t"])
    held = data.to_dataarray("component", name="observations").drop_attrs()
    series = Series.of(held).in_order_of(Signature(("p", "t"), 2))
    np.testing.assert_array_equal(series.observations[:, 1], data["t"])
    assert Series.of(data).in_order_of(Signature(("t", "p"), 2)).layout.variables == ("t", "p")
    with pytest.raises(InputError, match="Pa"):
        Series.of(data).in_order_of(Signature(("p", "t"), 2, ("hPa", "degC")))
