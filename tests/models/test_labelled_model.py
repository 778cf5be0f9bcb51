import keras
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tf4dvar.errors import InputError
from tf4dvar.layers import FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet, UnsupervisedLoss, load_model


def stations(rows=120, share=0.6):
    rng = np.random.default_rng(0)
    hours = np.arange(rows)
    values = {
        "t": 15 + 8 * np.sin(2 * np.pi * hours / 24) + 0.1 * rng.normal(size=rows),
        "p": 101_300 + 500 * np.cos(2 * np.pi * hours / 24) + 5 * rng.normal(size=rows),
    }
    data = xr.Dataset(
        {name: ("time", each) for name, each in values.items()},
        {"time": pd.date_range("2020-01-01", periods=rows, freq="h")},
    )
    data["t"].attrs["units"], data["p"].attrs["units"] = "degC", "Pa"
    return data.where(rng.random(rows) < share)


def adapted(data, **options):
    model = FourDVarNet(
        keras.layers.Conv1D(2, 3, padding="same"), GradientSolver(FixedStepCell(0.1), iterations=2)
    )
    model.adapt(data, window=24, **options)
    return model


def test_a_data_set_is_adapted_to_trained_on_and_comes_out_filled():
    data = stations()
    model = adapted(data)
    model.compile("adam", UnsupervisedLoss())
    history = model.fit(data, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    filled = model.reconstruct(data)
    assert list(filled) == ["t", "p"]
    assert filled["t"].attrs == {"units": "degC"}
    xr.testing.assert_identical(filled["time"], data["time"])
    assert not filled.isnull().any().to_array().any()
    assert abs(float(filled["p"].mean()) - 101_300) < 500


def test_an_array_comes_out_as_an_array_of_its_name():
    data = stations()
    model = FourDVarNet(keras.layers.Dense(1), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.adapt(data["t"])
    filled = model.reconstruct(data["t"])
    assert isinstance(filled, xr.DataArray)
    assert (filled.name, filled.dims) == ("t", ("time",))


def test_the_order_of_variables_changes_nothing():
    data = stations()
    model = adapted(data)
    one, other = model.reconstruct(data), model.reconstruct(data[["p", "t"]])
    assert list(other) == ["p", "t"]
    xr.testing.assert_equal(one, other)


def test_the_result_does_not_depend_on_chunks():
    data = stations()
    model = adapted(data)
    xr.testing.assert_equal(model.reconstruct(data), model.reconstruct(data.chunk(time=7)))


def test_missing_rows_are_rows_without_observations():
    data = stations()
    model = adapted(data)
    gone = data.drop_isel(time=range(50, 56))
    blank = data.copy(deep=True)
    blank["t"][50:56] = blank["p"][50:56] = np.nan
    expected = model.reconstruct(blank).drop_isel(time=range(50, 56))
    xr.testing.assert_equal(model.reconstruct(gone), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[["t"]], "p is missing"),
        (lambda data: data.rename(p="q"), "q is unknown"),
        (lambda data: data.isel(time=slice(None, None, 2)), "time step of 7200"),
        (lambda data: data.isel(time=slice(None, None, -1)), "run backwards"),
        (lambda data: data.assign(p=data["p"].assign_attrs(units="hPa")), "'hPa'; expected .*'Pa'"),
    ],
)
def test_what_is_not_of_the_training_is_refused(change, message):
    model = adapted(stations())
    with pytest.raises(InputError, match=message):
        model.reconstruct(change(stations()))


def test_what_a_model_was_trained_on_is_saved_with_it(tmp_path):
    data = stations()
    positive = np.exp(data["t"] / 15).assign_attrs(units="1")
    data = data.assign(t=positive)
    model = adapted(data, transforms={"t": "log10"})
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert loaded.signature == model.signature
    assert loaded.transforms == {"t": "log10"}
    xr.testing.assert_equal(loaded.reconstruct(data), model.reconstruct(data))
    assert (model.reconstruct(data)["t"] > 0).all()


def test_true_states_of_a_series_are_learned_from_at_their_times():
    data, truth = stations(), stations(share=1.0)
    model = adapted(data, truth=truth)
    model.compile("adam")
    history = model.fit(data, truth[["p", "t"]], epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert np.isfinite(model.evaluate(data, truth, verbose=0)).all()


def test_windows_with_labels_are_a_data_set_too(windows):
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    model.adapt(windows)
    assert model.signature.components == ("x", "y", "z")
    model.compile("adam")
    model.fit(windows, epochs=1, verbose=0)
    states = model.reconstruct(windows.isel(component=[2, 0, 1]))["state"]
    np.testing.assert_array_equal(
        states.sel(component=["x", "y", "z"]), model.reconstruct(windows)["state"]
    )


def test_arrays_are_for_predict_and_series_for_reconstruct():
    model = adapted(stations())
    with pytest.raises(InputError, match=r"Received a ndarray; .* predict\(observations\)"):
        model.reconstruct(np.zeros((1, 24, 2)))
    with pytest.raises(InputError, match=r"Received a series for `predict`"):
        model.predict(stations())
