import pytest

from tf4dvar.data.units import same_units


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("m s-1", "m/s"),
        ("m s-1", "m s**-1"),
        ("m s-1", "m.s^-1"),
        ("m s-1", "m s⁻¹"),
        ("m s-1", "metres / second"),
        ("kg m-2 s-1", "kg/m2/s"),
        ("degC", "degree Celsius"),
        ("degC", "degrees_celsius"),
        ("degC", "°C"),
        ("degC", "Celsius"),
        ("K", "kelvin"),
        ("hPa", "mbar"),
        ("%", "percent"),
        ("1", ""),
        ("1", "dimensionless"),
    ],
)
def test_spellings_of_a_unit_are_one(one, other):
    assert same_units(one, other)
    assert same_units(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("K", "degC"),
        ("Pa", "hPa"),
        ("mm", "MM"),
        ("mg m-3", "Mg m-3"),
        ("m s-1", "m s"),
        ("m/s", "s/m"),
        ("m2", "m3"),
        ("1", "1e-3"),
        ("degrees_north", "degrees_east"),
    ],
)
def test_what_would_have_to_be_converted_is_another(one, other):
    assert not same_units(one, other)
    assert not same_units(other, one)
