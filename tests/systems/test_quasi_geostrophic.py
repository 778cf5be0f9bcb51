from itertools import islice

import numpy as np
import pytest
from scipy import fft

from tf4dvar.errors import InputError
from tf4dvar.systems.quasi_geostrophic import DAY, QuasiGeostrophic, StirredTemperature

# Without what makes or takes energy, and coarse enough for a test.
ALONE = {"flows": (0.0, 0.0), "drag": 0.0, "filtered": False, "points": 32}


def after(system, state, days):
    return next(islice(system.days(state), days, None))


def eddies(system, members=2, speed=0.1):
    state = system.initial(members, np.random.default_rng(1))
    return state * speed / np.sqrt(2 * system.energy(state[:1]).mean())


def of_mode(system, number, amplitude):
    """A state whose stream functions have one wave in x, in both layers out of phase."""
    streams = np.zeros((1, system.layers, system.points, system.points // 2 + 1), complex)
    streams[0, :, 0, number] = amplitude * np.array([1.0, 0.5j])[: system.layers]
    return np.einsum("ijyx,mjyx->miyx", system.to_vorticity, streams)


@pytest.mark.parametrize("layers", [1, 2])
def test_energy_and_enstrophy_are_conserved(layers):
    system = QuasiGeostrophic(layers=layers, **{**ALONE, "points": 64})
    state = eddies(system)
    later = after(system, state, 10)
    assert np.abs(later - state).max() > 0.1 * np.abs(state).max()
    np.testing.assert_allclose(system.energy(later), system.energy(state), rtol=1e-6)
    np.testing.assert_allclose(system.enstrophy(later), system.enstrophy(state), rtol=1e-5)


def test_energy_is_that_of_speeds_and_of_the_interface():
    system = QuasiGeostrophic(**ALONE)
    state = eddies(system)
    streams = system.stream_function(state)
    kx, ky = system.wavenumbers
    speeds = [fft.irfft2(1j * k * streams) for k in (kx, ky)]
    kinetic = (np.square(speeds).sum(0) / 2).mean((-2, -1)) @ system.thicknesses
    between = np.diff(fft.irfft2(streams), axis=1)[:, 0]
    potential = system.thicknesses[0] * system.stretching[0] * np.square(between).mean((-2, -1)) / 2
    np.testing.assert_allclose(system.energy(state), kinetic + potential)


def test_the_instability_grows_as_in_phillips_model():
    """Equal layers without beta: sigma = k U/2 sqrt((1/R^2 - k^2) / (1/R^2 + k^2)), Vallis 6.3."""
    system = QuasiGeostrophic(
        points=16, thickness_ratio=1.0, beta=0.0, drag=0.0, time_step=DAY / 6, filtered=False
    )
    for number in (2, 3, 5):
        states = islice(system.days(of_mode(system, number, 1e-6)), 100, 141, 40)
        energies = [system.energy(state)[0] for state in states]
        k, inverse = 2 * np.pi * number / system.length, system.deformation_radius**-2
        growth = k * 0.05 * np.sqrt((inverse - k**2) / (inverse + k**2))
        assert np.log(energies[1] / energies[0]) / 2 / (40 * DAY) == pytest.approx(growth, rel=0.01)


def test_short_waves_do_not_grow():
    system = QuasiGeostrophic(points=32, thickness_ratio=1.0, beta=0.0, drag=0.0, filtered=False)
    state = of_mode(system, 7, 1e-6)
    energies = [system.energy(each)[0] for each in islice(system.days(state), 0, 60, 5)]
    assert max(energies) < 10 * min(energies)


def test_a_rossby_wave_of_one_layer_has_its_speed():
    system = QuasiGeostrophic(layers=1, **ALONE)
    state = of_mode(system, 3, 1.0)
    later = after(system, state, 30)
    k = 2 * np.pi * 3 / system.length
    frequency = -system.beta * k / (k**2 + system.stretching[0])
    expected = state * np.exp(-1j * frequency * 30 * DAY)
    np.testing.assert_allclose(later[0, 0, 0, 3], expected[0, 0, 0, 3], rtol=1e-6)


def test_one_layer_is_two_of_which_the_lower_is_at_rest():
    deep = QuasiGeostrophic(thickness_ratio=1e-9, drag=1e-3, **{"filtered": False, "points": 32})
    shallow = QuasiGeostrophic(layers=1, thickness_ratio=1e-9, filtered=False, points=32)
    state = eddies(shallow)
    both = np.concatenate([state, np.zeros_like(state)], axis=1)
    np.testing.assert_allclose(deep.rates(both)[:, :1], shallow.rates(state), rtol=1e-5, atol=1e-17)


def test_the_time_scheme_is_of_third_order():
    def final(parts):
        system = QuasiGeostrophic(time_step=DAY / parts, **ALONE)
        return after(system, eddies(system, 1), 2)

    exact = final(768)
    errors = [np.abs(final(parts) - exact).max() for parts in (24, 48, 96)]
    assert np.log2(np.divide(errors[:-1], errors[1:])) == pytest.approx(3.0, abs=0.25)


def test_drag_slows_the_lower_layer_and_the_filter_takes_the_smallest_scales():
    system = QuasiGeostrophic(flows=(0.0, 0.0), points=32, drag=1e-5)
    state = eddies(system)
    energies = [system.energy(each) for each in islice(system.days(state), 0, 20, 5)]
    assert (np.diff(energies, axis=0) < 0).all()
    kx, ky = system.wavenumbers
    small = np.hypot(kx, ky) > 0.8 * np.pi * system.points / system.length
    # Half a wavelength is two points.
    assert system.filter[small].max() < 0.9 < system.filter[0].min() + 1.0
    assert (system.filter[np.hypot(kx, ky) < 0.6 * np.pi * 32 / 1e6] == 1.0).all()


def test_members_are_computed_as_alone():
    system = QuasiGeostrophic(points=32)
    state = eddies(system, 3)
    alone = after(system, state[1:2], 3)
    np.testing.assert_allclose(after(system, state, 3)[1:2], alone, rtol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_state_is_that_of_its_heights(layers):
    system = QuasiGeostrophic(layers=layers, points=32)
    state = eddies(system)
    heights = system.heights(state)
    np.testing.assert_array_equal(system.observed(state), heights[:, 0])
    largest = np.abs(state).max()
    np.testing.assert_allclose(system.state_of(heights + 1), state, atol=1e-10 * largest)


def test_temperature_is_carried_with_the_mean_flow():
    system = StirredTemperature(flows=(0.1, 0.0), gradient=0.0, filtered=False, points=32)
    state = np.zeros((1, 3, 32, 17), complex)
    state[0, -1, 2, 3] = 50.0
    moved = after(system, state, 7)[0, -1, 2, 3]
    k = 2 * np.pi * 3 / system.length
    assert moved == pytest.approx(50.0 * np.exp(-1j * k * 0.1 * 7 * DAY), rel=1e-6)


def test_temperature_without_a_mean_gradient_keeps_its_variance():
    system = StirredTemperature(gradient=0.0, **ALONE)
    state = eddies(system)
    noise = np.random.default_rng(0).normal(size=(2, 32, 32))
    kx, ky = system.wavenumbers
    state[:, -1] = fft.rfft2(noise) * np.exp(-(kx**2 + ky**2) * 6e4**2)
    later = after(system, state, 4)
    variances = [each.var((-2, -1)) for each in map(system.observed, (state, later))]
    np.testing.assert_allclose(*variances, rtol=1e-3)


def test_stirring_makes_anomalies_along_the_mean_gradient():
    system = StirredTemperature(points=32)
    days = [*islice(system.days(eddies(system)), 0, 41, 20)]
    temperatures = np.array([system.observed(each) for each in days])
    np.testing.assert_allclose(temperatures.mean((-2, -1)), 15.0, atol=1e-9)
    # Ten degrees from south to north, without the half of a distance of points at both ends.
    np.testing.assert_allclose(temperatures[0, :, 0, 0] - temperatures[0, :, -1, 0], 10 * 31 / 32)
    assert (temperatures[1] - temperatures[0]).std() > 0.05


def test_what_the_flow_brings_down_the_gradient_is_the_variance():
    """d<c^2>/2 = -gradient <v c> dt."""
    system = StirredTemperature(**ALONE)
    states = [*islice(system.states(eddies(system)), 97)]
    anomalies = np.array([fft.irfft2(each[:, -1]) for each in states])
    v = [fft.irfft2(1j * system.wavenumbers[0] * system.stream_function(s)[:, 0]) for s in states]
    flux = (v * anomalies).mean((-2, -1))
    gained = -system.gradient * system.time_step * (flux[1:] + flux[:-1]).sum(0) / 2
    np.testing.assert_allclose(np.square(anomalies[-1]).mean((-2, -1)) / 2, gained, rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": 3}, "Received 3 layers"),
        ({"points": 33}, "of 33 points; expected .* even"),
        ({"time_step": 3601.0}, "time step 3601.0 s; expected a whole part of a day"),
        ({"time_step": 0.0}, "time step 0.0 s"),
    ],
)
def test_what_cannot_be_computed_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        QuasiGeostrophic(**settings)
