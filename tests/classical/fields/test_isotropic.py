import numpy as np
import pytest
from scipy import fft

from tf4dvar.classical.fields.isotropic import IsotropicSpectrum
from tf4dvar.classical.fields.model_error import ModelError


def smooth(rng, samples, layers, size, spacing, scale):
    """White noise under a Gaussian; of two layers the second is partly the first."""
    wavenumbers = np.hypot(
        *np.meshgrid(*(2 * np.pi * fft.fftfreq(count, spacing) for count in size[::-1]))
    )
    noise = rng.normal(size=(samples, layers, *size))
    fields = fft.ifft2(fft.fft2(noise) * np.exp(-((wavenumbers * scale) ** 2) / 2)).real
    if layers == 2:
        fields[:, 1] += fields[:, 0] / 2
    return fields


@pytest.mark.parametrize(("size", "spacing"), [((32, 32), 2.0), ((48, 40), 1.0)])
def test_its_root_makes_fields_of_the_same_covariance_on_any_grid(size, spacing, rng):
    examples = smooth(rng, 200, 2, (32, 32), 2.0, 3.0)
    root = IsotropicSpectrum(examples, 2.0).root(size, spacing)
    waves = fft.rfft2(rng.normal(size=(400, 2, *size)))
    fields = fft.irfft2(np.einsum("ijyx,sjyx->siyx", root, waves), size)
    for lag in (0.0, 2.0, 4.0):
        moved = np.roll(fields, round(lag / spacing), axis=-1)
        expected = np.roll(examples, round(lag / 2.0), axis=-1)
        covariance = np.einsum("siyx,sjyx->ij", fields, moved) / len(fields) / np.prod(size)
        reference = np.einsum("siyx,sjyx->ij", examples, expected) / len(examples) / 32**2
        np.testing.assert_allclose(covariance, reference, atol=0.06 * reference[0, 0] + 1e-3)


def test_a_model_error_is_what_the_model_misses_over_the_time_step(rng):
    """A forcing of Gaussian correlation in time, of a model that stands still."""
    times, duration = np.arange(3) * 2.0, 5.0
    covariance = np.exp(-(((times[:2, None] - times[:2]) / duration) ** 2))
    forcing = smooth(rng, 2000, 1, (32, 32), 1.0, 2.0).reshape(1000, 2, 32, 32)
    forcing = np.einsum("ij,sjyx->siyx", np.linalg.cholesky(covariance), forcing)
    fields = np.cumsum(np.concatenate([0 * forcing[:, :1], 2.0 * forcing], axis=1), axis=1)
    error = ModelError(fields, fields[:, :-1], time_step=2.0, spacing=1.0)
    assert error.duration == pytest.approx(duration, rel=0.05)
    root = error.root((32, 32), 1.0)
    assert root[0, 0, 0, 0] == 0.0
    made = fft.irfft2(root[0] * fft.rfft2(rng.normal(size=(500, 32, 32))))
    expected = forcing - forcing.mean((-2, -1), keepdims=True)
    assert made.std() == pytest.approx(expected.std(), rel=0.05)
    modes = error.modes(10, 1.0)
    lags = np.arange(10.0)[:, None] - np.arange(10.0)
    exact = np.exp(-((lags / error.duration) ** 2))
    assert modes.shape[1] < 6
    np.testing.assert_allclose(modes @ modes.T, exact, atol=0.1)
