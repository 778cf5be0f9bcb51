import sys

import numpy as np
import pytest

from tf4dvar.evaluation.colours import ERRORS, Quantity, error_scale, state_scale

HEIGHT = Quantity("height", "m", "sea_surface_height_above_geoid")


@pytest.mark.parametrize(
    ("quantity", "colours", "without"),
    [
        (HEIGHT, "balance", "RdBu_r"),
        (Quantity("sst", "K", "sea_surface_foundation_temperature"), "thermal", "inferno"),
        (Quantity("sst", "degree_Celsius"), "thermal", "inferno"),
        (
            Quantity("chl", "1", "mass_concentration_of_chlorophyll_a_in_sea_water"),
            "algae",
            "YlGn",
        ),
        (Quantity("chl", "mg/m^3"), "algae", "YlGn"),
        (Quantity("wave height", "m"), "viridis", "viridis"),
    ],
)
def test_colours_are_those_of_the_quantity(monkeypatch, quantity, colours, without):
    assert state_scale(quantity, np.arange(3.0)).colours.name == colours
    monkeypatch.setitem(sys.modules, "cmocean", None)
    assert state_scale(quantity, np.arange(3.0)).colours.name == without


def test_a_scale_shows_nearly_all_values_and_no_outlier(rng):
    values = rng.uniform(10, 20, 100_000)
    values[:100] = 1e6
    values[100:200] = np.nan
    scale = state_scale(Quantity("sst", "degC"), values)
    assert (scale.low, scale.high) == pytest.approx((10.05, 19.96), abs=0.02)


def test_white_is_zero_of_heights_about_zero():
    scale = state_scale(HEIGHT, np.linspace(-1, 3, 1001))
    assert -scale.low == scale.high == pytest.approx(2.98)
    above = state_scale(HEIGHT, np.linspace(1, 3, 1001))
    assert (above.low, above.high) == pytest.approx((1.01, 2.99))


@pytest.mark.parametrize("values", [np.full(5, np.nan), np.zeros(5), np.full(5, 18.0)])
def test_a_scale_of_nothing_or_of_one_value_has_two_ends(values):
    scale = state_scale(HEIGHT, values)
    assert scale.low < scale.high
    errors = error_scale([values - values], scale)
    assert errors.low == -errors.high < 0


def test_errors_are_even_about_zero_and_a_failure_hides_no_other():
    states = state_scale(HEIGHT, np.linspace(-1, 1, 1001))
    small, failed = np.linspace(-0.1, 0.3, 1001), np.full(1001, 1e9)
    scale = error_scale([small / 2, small], states)
    assert scale.colours.name == ERRORS
    assert -scale.low == scale.high == pytest.approx(0.296, abs=1e-3)
    assert error_scale([small, failed], states).high == states.high - states.low


def test_labels_have_units():
    assert HEIGHT.label == "height (m)"
    assert HEIGHT.error_label == "error (m)"
    assert Quantity("salinity", "1").label == "salinity (dimensionless)"
