import json
from dataclasses import replace

import cftime
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from tf4dvar.data import Signature, protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63

UNITS = ("K", "Pa", "m s-1")


def stations(windows=8, steps=30, seed=0, **attributes):
    """Three variables of different units, hourly, a third observed."""
    rng = np.random.default_rng(seed)
    values = rng.normal((288, 101325, 0), (5, 800, 3), (windows, steps, 3))
    values[rng.random(values.shape) > 0.3] = np.nan
    return xr.DataArray(
        values,
        {
            "time": ("time", np.arange(steps) / 24, {"units": "days"}),
            "component": ["temperature", "pressure", "wind"],
            "units": ("component", list(UNITS)),
        },
        ("window", "time", "component"),
        attrs=attributes,
    )


def field(windows=4, steps=6, height=5, width=8):
    """Of a variable on latitudes and all longitudes, daily."""
    rng = np.random.default_rng(0)
    return xr.DataArray(
        rng.normal(size=(windows, steps, height, width, 1)),
        {
            "time": np.datetime64("2001-01-01", "ns") + np.arange(steps) * np.timedelta64(1, "D"),
            "lat": np.linspace(-40, 40, height),
            "lon": 360 / width * np.arange(width),
            "component": ["sst"],
        },
        ("window", "time", "lat", "lon", "component"),
        attrs={"units": "degC"},
    )


@pytest.fixture(scope="module")
def l63():
    """The signature of a training of Lorenz-63, protocol C."""
    data = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 200, seed=0)
    return Signature.of(data["observations"], data.attrs["noise_variance"])


def test_it_tells_what_the_data_do(l63):
    assert (l63.components, l63.units) == (("x", "y", "z"), ("1",))
    assert (l63.time_step, l63.time_units) == (0.01, "1")
    assert l63.noise_variance == 2.0
    assert l63.low[0] < -15 < 15 < l63.high[0]
    assert l63.low[1] is None
    assert (l63.patterns[0].spacing, l63.patterns[0].phases) == (8, (0,))
    assert l63.patterns[0].share.mean == 0.11
    assert l63.patterns[1].share.most == 0.0
    of_a_field = Signature.of(field())
    assert (of_a_field.time_step, of_a_field.time_units) == (86400.0, "s")
    assert of_a_field.space == ("lat", "lon")
    assert of_a_field.spacing == (20.0, 45.0)
    assert of_a_field.periodic == (False, True)
    assert Signature.of(stations()).units == UNITS


def test_a_series_is_one_window():
    series = stations().isel(window=0)
    assert Signature.of(series) == Signature.of(series.expand_dims("window"))


@pytest.mark.parametrize("data", [stations(), field(), field().isel(time=[0])], ids=str)
def test_it_comes_back_from_json_exactly(data):
    signature = Signature.of(data, noise_variance=0.1, transforms=["log10"] * data.shape[-1])
    assert Signature.from_json(json.loads(json.dumps(signature.to_json()))) == signature


def test_many_components_are_told_together(rng):
    data = xr.DataArray(
        rng.normal(size=(3, 6, 500)),
        {"component": [f"x{number}" for number in range(500)]},
        ("window", "time", "component"),
        attrs={"units": "m"},
    )
    signature = Signature.of(data)
    assert len(signature.patterns) == len(signature.low) == len(signature.units) == 1
    assert len(json.dumps(signature.to_json())) < 10_000
    shuffled = data.isel(component=rng.permutation(500))
    xr.testing.assert_identical(signature.arranged(shuffled), data)


@given(data=st.data())
def test_data_in_any_order_are_arranged_and_restored(data):
    """Components permuted, axes reversed, on its way into a model and back."""
    for trained in (stations(), field()):
        signature = Signature.of(trained)
        given_ = trained.isel(component=data.draw(st.permutations(range(trained.shape[-1]))))
        for dim in signature.space:
            if data.draw(st.booleans()):
                given_ = given_.isel({dim: slice(None, None, -1)})
        arranged = signature.arranged(given_)
        xr.testing.assert_identical(arranged, trained)
        xr.testing.assert_identical(signature.restored(arranged, given_), given_)


def test_a_field_trained_from_north_to_south_is_put_so():
    southward = field().isel(lat=slice(None, None, -1))
    signature = Signature.of(southward)
    assert signature.spacing[0] == -20.0
    xr.testing.assert_identical(signature.arranged(field()), southward)


def test_numbered_labels_are_labels_where_they_are_out_of_order(rng):
    plain = xr.DataArray(rng.normal(size=(2, 5, 4, 3)), dims=("window", "time", "y", "component"))
    numbered = plain.assign_coords(y=range(4), component=range(3))
    signature = Signature.of(plain)
    assert signature == Signature.of(numbered)
    turned = numbered.isel(y=slice(None, None, -1), component=[2, 0, 1])
    xr.testing.assert_identical(signature.arranged(turned), numbered)


REFUSED = {
    "an unknown component": (
        lambda data: data.assign_coords(component=["temperature", "pressure", "rain"]),
        "wind is missing.* rain is unknown: rename or drop it",
    ),
    "a component less": (lambda data: data.isel(component=[0, 1]), "wind is missing: add it"),
    "two of a name": (lambda data: data.isel(component=[0, 1, 1]), "two components .*'pressure'"),
    "numbers out of order": (
        lambda data: data.assign_coords(component=[2, 0, 1]),
        "2, 0, 1 is unknown",
    ),
    "other units": (
        lambda data: data.assign_coords(units=("component", ["degC", "Pa", "m s-1"])),
        "Received temperature in 'degC'; expected it in 'K'. Convert it",
    ),
    "every second time": (
        lambda data: data.isel(time=slice(None, None, 2)),
        "a time step of 0.0833333 'days'; expected 0.0416667 'days'",
    ),
    "descending times": (lambda data: data.isel(time=slice(None, None, -1)), "ascend"),
    "a time twice": (lambda data: data.isel(time=[0, 1, 1, 2, 3]), "ascend"),
    "missing times": (
        lambda data: data.drop_isel(time=[10, 11]),
        "some are missing: 1 steps are longer than most, the first after 0.375",
    ),
    "no components": (lambda data: data.rename(component="c"), "expected .*`component`"),
    "a dimension of space": (lambda data: data.expand_dims("y", 2), "expected 0 dimensions"),
    "times of text": (lambda data: data.assign_coords(time=[str(t) for t in range(30)]), "type"),
}


@pytest.mark.parametrize("change", REFUSED)
def test_data_of_another_kind_are_refused(change):
    changed, said = REFUSED[change]
    with pytest.raises(InputError, match=said):
        Signature.of(stations()).arranged(changed(stations()))


def test_a_grid_of_another_spacing_is_refused():
    with pytest.raises(InputError, match=r"spacing of 10 on 'lat'; expected 20"):
        Signature.of(field()).arranged(field().assign_coords(lat=np.linspace(-20, 20, 5)))
    with pytest.raises(InputError, match="neither ascend nor descend"):
        Signature.of(field()).arranged(field().isel(lat=[0, 2, 1, 3, 4]))


SAME = {
    "units in another spelling": lambda data: data.assign_coords(
        units=("component", ["kelvin", "Pa", "m/s"])
    ),
    "hours for days": lambda data: data.assign_coords(
        time=("time", np.arange(30.0), {"units": "hours since 1950-01-01"})
    ),
    "dates": lambda data: data.assign_coords(
        time=np.datetime64("1999-12-31", "ns") + np.arange(30) * np.timedelta64(1, "h")
    ),
    "dates of another calendar": lambda data: data.assign_coords(
        time=cftime.num2date(np.arange(30), "hours since 2001-02-28", "noleap")
    ),
    "days since 1950 in single precision": lambda data: data.assign_coords(
        time=("time", (27000 + np.arange(30) / 24).astype("float32"), {"units": "days"})
    ),
    "one window": lambda data: data.isel(window=[0]),
    "a shorter window": lambda data: data.isel(time=slice(20)),
    "single precision": lambda data: data.astype("float32"),
}


@pytest.mark.parametrize("change", SAME)
def test_data_of_the_same_kind_pass_in_silence(change, caplog):
    changed = SAME[change](stations())
    arranged = Signature.of(stations()).arranged(changed)
    xr.testing.assert_identical(arranged, changed)
    assert not caplog.records


def test_windows_of_the_training_s_own_kind_pass_in_silence(l63, rng, caplog):
    """Two hundred draws of one window to forty."""
    many = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 400, seed=100)["observations"]
    for _ in range(200):
        drawn = rng.choice(400, rng.integers(1, 41), replace=False)
        l63.arranged(many[drawn])
    assert not caplog.records


def said(signature, data, caplog):
    caplog.clear()
    signature.arranged(data)
    return [record.getMessage() for record in caplog.records]


def test_labels_that_are_missing_are_a_sentence(caplog):
    signature = Signature.of(stations())
    (line,) = said(signature, stations().drop_vars(["component", "time", "units"]), caplog)
    for part in ("names of their components (temperature, ", "time step (0.0416667 days)", "in K"):
        assert part in line
    (line,) = said(Signature.of(field()), field().drop_vars("lat"), caplog)
    assert "the spacing of 'lat' (20)" in line
    assert (
        "all the way round" in said(Signature.of(field()), field().isel(lon=[0, 1, 2]), caplog)[0]
    )


def test_values_far_beyond_the_training_s_are_warned_of(l63, caplog):
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 4, seed=1)["observations"]
    spoilt = windows.copy()
    spoilt[2, 16, 0] = 9999.0
    (line,) = said(l63, spoilt, caplog)
    assert "to 9999, in training -1" in line
    assert "fill values" in line
    assert len(said(l63, windows + 273.15, caplog)) == 1


def test_a_constant_component_is_what_it_was(caplog):
    constant = stations().where(False, 5.0)
    assert not said(Signature.of(constant), constant, caplog)


@pytest.mark.parametrize(
    ("steps", "plan", "part"),
    [
        (5, {}, "observed 3 steps after a multiple of 8, in training 0"),
        (0, {"every": 16}, "15 steps between two observations, in training 7"),
        (0, {"components": (0, 1)}, "y: a share of 0.11 is observed, in training 0"),
    ],
)
def test_patterns_beyond_the_training_s_are_warned_of(l63, steps, plan, part, caplog):
    """The windows begin so many steps later; or they are of another plan."""
    windows = simulate_dataset(
        Lorenz63(), replace(protocol_plan("l63", "C"), **plan), 20, 200 + steps, seed=7
    )
    (line,) = said(l63, windows["observations"].isel(time=slice(steps, None)), caplog)
    assert part in line


def test_times_drawn_at_random_are_warned_of(l63, rng, caplog):
    windows = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 20, seed=7)
    drawn = windows["truth"].where(rng.random((20, 200, 3)) < 0.11)
    (line,) = said(l63, drawn, caplog)
    assert "x: observed 1, 2, 3, 4, 5, 6, 7 steps after a multiple of 8" in line


def edited(**entries):
    return {**Signature.of(stations(), 0.5).to_json(), **entries}


def of_a_pattern(**entries):
    record = edited()
    record["patterns"][1].update(entries)
    return record


@pytest.mark.parametrize(
    "record",
    [
        None,
        [],
        "signature",
        {},
        {"components": []},
        edited(more=1),
        edited(size=0),
        edited(size=True),
        edited(size=2**70),
        edited(components="xyz"),
        edited(components=["a", "a", "b"]),
        edited(components=["a", "b"]),
        edited(components=["a", "b", 3]),
        edited(components=["a", "b", "c" * 10_000]),
        edited(units=["1"] * 10**6),
        edited(units=[None]),
        edited(time_step=float("nan")),
        edited(time_step=-1.0),
        edited(time_step="1"),
        edited(time=3),
        edited(space=["y"]),
        edited(space=["y"] * 20, spacing=[1.0] * 20, periodic=[False] * 20),
        edited(space=["y"], spacing=[0.0], periodic=[False]),
        edited(space=["y"], spacing=[1.0], periodic=[1]),
        edited(low=[float("inf")] * 3),
        edited(low=[0.0]),
        edited(high=[10**400] * 3),
        edited(noise_variance=0.0),
        edited(noise_variance=[1.0]),
        edited(patterns=[]),
        edited(patterns=[1, 2, 3]),
        edited(transforms=[1]),
        of_a_pattern(windows=0),
        of_a_pattern(spacing=-8),
        of_a_pattern(spacing=1e9),
        of_a_pattern(phases=[9], spacing=8),
        of_a_pattern(phases=list(range(10**5)), spacing=10**6),
        of_a_pattern(share=None),
        of_a_pattern(share=[1.0]),
        of_a_pattern(share=[2.0, 1.0, 1.0, 0.0]),
        of_a_pattern(gap=[0.0, 1.0, 2.0, float("nan")]),
        of_a_pattern(more=1),
    ],
)
def test_a_record_that_is_no_signature_is_one_line(record):
    with pytest.raises(InputError) as error:
        Signature.from_json(record)
    assert len(str(error.value)) < 400
