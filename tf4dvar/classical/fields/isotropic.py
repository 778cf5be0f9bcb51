"""A covariance of fields that depends on the distance alone, by its spectrum."""

import numpy as np
from scipy import fft

from tf4dvar.errors import InputError

# Of the largest variance of a wave, what makes the others invertible.
SMALLEST = 1e-9


class IsotropicSpectrum:
    """Power and cross-power of some fields in a periodic box, by wavenumber alone.

    Args:
        fields: samples of them, [sample, layer, y, x].
        spacing: of the points, the same in y and x.

    Attributes:
        wavenumbers: [ring].
        density: power per area of the wavenumbers' plane, [ring, layer, layer].

    Raises:
        InputError: no field varies.

    Usage:

        from tf4dvar.classical.fields.isotropic import IsotropicSpectrum

        noise = np.random.default_rng(0).normal(size=(9, 1, 16, 16))
        root = IsotropicSpectrum(noise, 1.0).root((16, 16), 1.0)
        assert root.shape == (1, 1, 16, 9) and 0.8 < root[0, 0, 3, 3] < 1.2
    """

    def __init__(self, fields: np.ndarray, spacing: float):
        size = fields.shape[-2:]
        waves = fft.fft2(fields)
        power = np.einsum("siyx,sjyx->yxij", waves, waves.conj()).real / len(fields)
        wavenumbers = _wavenumbers(size, spacing)
        width = 2 * np.pi / (max(size) * spacing)
        rings, member = np.unique(np.round(wavenumbers / width), return_inverse=True)
        means = np.zeros((len(rings), *power.shape[2:]))
        np.add.at(means, member.reshape(size), power)
        means /= np.bincount(member.ravel())[:, None, None]
        if not means[1:].any():
            raise InputError("Received fields without a wave; expected some that vary.")
        # The mean is no wave.
        self.wavenumbers = rings[1:] * width
        self.density = means[1:] * spacing**2 / np.prod(size)

    def root(self, size: tuple[int, int], spacing: float) -> np.ndarray:
        """The square root of the covariance on a grid, which makes fields of white noise.

        The mean of a field varies as a wave of the longest does.

        Args:
            size: rows and columns.
            spacing: of the points, the same in y and x.

        Returns:
            What multiplies the waves of `scipy.fft.rfft2`, lower triangular, [layer, layer, ky,
            kx].
        """
        wavenumbers = _wavenumbers(size, spacing)
        layers = self.density.shape[1]
        covariance = np.empty((*size, layers, layers))
        for i, j in np.ndindex(layers, layers):
            density = np.interp(wavenumbers, self.wavenumbers, self.density[:, i, j])
            covariance[..., i, j] = density / spacing**2
        largest = covariance.max()
        roots = np.linalg.cholesky(covariance + SMALLEST * largest * np.eye(layers))
        return np.moveaxis(roots[:, : size[1] // 2 + 1], (0, 1), (2, 3))


def _wavenumbers(size, spacing):
    ky, kx = (2 * np.pi * fft.fftfreq(count, spacing) for count in size)
    return np.hypot(*np.meshgrid(kx, ky))
