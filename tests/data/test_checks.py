import numpy as np
import pytest

from tf4dvar.data import (
    check_observations,
    check_truth,
    simulate_dataset,
    warn_of_fill_values,
    warn_of_full_observation,
    warn_of_swapped_components,
    warn_of_units,
)
from tf4dvar.errors import InputError
from tf4dvar.layers import Normalisation
from tf4dvar.systems import SYSTEMS, system_by_name


@pytest.mark.parametrize(
    ("shape", "right_order"),
    [
        ((30, 3, 200), (0, 2, 1)),
        ((200, 3, 30), (2, 0, 1)),
        ((3, 30, 200), (1, 2, 0)),
        ((3, 200, 30), (2, 1, 0)),
    ],
)
def test_axes_in_another_order_are_refused_with_the_transpose_that_helps(shape, right_order):
    with pytest.raises(InputError, match="which seem to be on axis") as error:
        check_observations(np.zeros(shape), components=3)
    assert ", ".join(map(str, right_order)) in str(error.value)
    assert np.transpose(np.zeros(shape), right_order).shape == (30, 200, 3)


def test_truth_of_other_windows_or_components_is_refused():
    observations = np.zeros((4, 10, 2))
    check_truth(observations, np.zeros((4, 10, 3)), same_components=False)
    for shape in ((4, 10, 3), (4, 11, 2), (5, 10, 2), (4, 2, 10), (10, 2)):
        with pytest.raises(InputError, match=r"expected \[window, time, component\] of both"):
            check_truth(observations, np.zeros(shape))
    with pytest.raises(InputError, match="None of the true states"):
        check_truth(observations, np.full(observations.shape, np.nan))


@pytest.mark.parametrize("fill", [0.0, -9999.0, 1e20])
def test_a_number_in_place_of_nan_is_named(fill, windows, said):
    observations = windows["observations"].values.copy()
    warn_of_fill_values(observations)
    assert said() == ""
    filled = np.nan_to_num(observations, nan=fill)
    warn_of_fill_values(filled)
    text = said()
    assert f"Component 0 (and 2 others) of the observations is exactly {fill:g} in 89 %" in text
    assert f"np.where(observations == {fill:g}, np.nan, observations)" in text


def test_no_gap_at_all_is_named(windows, said):
    warn_of_full_observation(windows["observations"].values)
    assert said() == ""
    warn_of_full_observation(windows["truth"].values)
    assert "No entry of the observations of shape (40, 200, 3) is NaN" in said()


def test_swapped_components_are_named(said, rng):
    truth = rng.normal([0.0, 5.0, 50.0], [1.0, 2.0, 3.0], size=(20, 30, 3))
    observations = truth + 0.1 * rng.normal(size=truth.shape)
    observations[rng.random(truth.shape) < 0.5] = np.nan
    warn_of_swapped_components(observations, truth)
    assert said() == ""
    warn_of_swapped_components(observations[..., [1, 0, 2]], truth)
    assert "Component 0 (and 1 others) of the observations is nearer to component 1" in said()
    warn_of_swapped_components(np.full(truth.shape, np.nan), truth)
    assert said() == ""


@pytest.mark.parametrize("factor", [1000.0, 0.001])
def test_other_units_are_named_with_the_numbers(factor, windows, said):
    observations = windows["observations"].values
    mean, deviation = np.nanmean(observations[..., 0]), np.nanstd(observations[..., 0])
    normalisation = np.array([mean, 0, 0]), np.array([deviation, 1, 1])
    warn_of_units(observations, *normalisation)
    assert said() == ""
    warn_of_units(factor * observations, *normalisation)
    text = said()
    assert f"Component 0 of the observations has the mean {factor * mean:.3g}" in text
    assert f"adapted to a mean of {mean:.3g} and a deviation of {deviation:.3g}" in text


@pytest.mark.parametrize(
    ("system", "protocol"), [(s, p) for s in SYSTEMS for p in SYSTEMS[s].protocols]
)
def test_good_data_raise_no_alarm(system, protocol, said):
    plan = SYSTEMS[system].protocols[protocol]
    train, other = (simulate_dataset(system_by_name(system), plan, 20, seed=s) for s in (1, 2))
    observations, truth = train["observations"].values, train["truth"].values
    check_observations(observations, truth.shape[-1])
    check_truth(observations, truth)
    warn_of_fill_values(observations)
    if not np.isfinite(observations).all():  # as filters often have it
        warn_of_full_observation(observations)
    warn_of_swapped_components(observations, truth)
    observed = np.isfinite(observations).any((0, 1))
    mean = np.where(observed, np.nanmean(truth, (0, 1)), 0.0)
    deviation = truth.std((0, 1))
    for window in other["observations"].values:
        warn_of_units(window[None], mean, deviation)
    assert said() == ""


@pytest.mark.parametrize("components", [3, 40, 100])
@pytest.mark.parametrize("offset", [0.0, 101325.0])
def test_observations_without_noise_are_in_the_order_of_the_truth(components, offset, said):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        truth = rng.normal(size=(20, 50, components)) + offset
        observations = np.where(rng.random(truth.shape) < 0.3, truth, np.nan)
        warn_of_swapped_components(observations, truth)
        assert said() == ""
    warn_of_swapped_components(np.roll(observations, 1, -1), truth)
    assert "nearer to component" in said()


@pytest.mark.parametrize("constant", [0.0, 0.1, -3.7, 101325.0])
def test_a_component_that_was_constant_and_still_is_raises_no_alarm(constant, rng, said):
    observations = rng.normal(5, 2, size=(20, 30, 3)).astype("float32")
    observations[..., 1] = constant
    normalisation = Normalisation()
    normalisation.adapt(observations)
    numbers = normalisation.mean.numpy(), normalisation.std.numpy()
    warn_of_units(observations, *numbers)
    assert said() == ""
    observations[..., 1] = constant + 1000
    warn_of_units(observations, *numbers)
    assert "Component 1 of the observations has the mean" in said()
