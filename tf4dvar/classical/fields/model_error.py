"""What a model leaves out, as a forcing: its spectrum and how long it lasts."""

import numpy as np

from tf4dvar.classical.fields.isotropic import IsotropicSpectrum

# Share of the variance in time of the last of the modes that are kept.
LEAST = 0.01


class ModelError:
    """A random forcing, isotropic in space and of Gaussian correlation in time.

    It is estimated from how a model misses the fields that follow each other in examples.

    Args:
        fields: examples, [sample, time, y, x], three times or more.
        predicted: of each field but the first that of the model from the one before, [sample,
            time - 1, y, x].
        time_step: between two times.
        spacing: of the points.

    Attributes:
        duration: after which its correlation is 1/e.

    Usage:

        from tf4dvar.classical.fields.model_error import ModelError

        wave = np.cos(2 * np.pi * np.arange(8) / 8) * np.ones((8, 1))
        fields = np.array([0.0, 1.0, 1.9])[None, :, None, None] * wave
        error = ModelError(fields, fields[:, :-1], time_step=1.0, spacing=1.0)
        assert error.modes(4, 1.0).shape[0] == 4
    """

    def __init__(self, fields: np.ndarray, predicted: np.ndarray, time_step: float, spacing: float):
        missed = (fields[:, 1:] - predicted) / time_step
        self._spectrum = IsotropicSpectrum(missed.reshape(-1, 1, *missed.shape[2:]), spacing)
        products = [(missed[:, lag:] * missed[:, : missed.shape[1] - lag]).mean() for lag in (0, 1)]
        correlation = np.clip(products[1] / products[0], 0.01, 0.9999)
        self.duration = float(time_step / np.sqrt(-np.log(correlation)))

    def root(self, size: tuple[int, int], spacing: float) -> np.ndarray:
        """Q^(1/2), see `IsotropicSpectrum.root`; nothing forces the mean.

        Args:
            size: rows and columns.
            spacing: of the points.
        """
        root = self._spectrum.root(size, spacing)
        root[..., 0, 0] = 0.0
        return root

    def modes(self, count: int, time_step: float) -> np.ndarray:
        """Principal components of its course in time, [time, mode], scaled by what each explains.

        Args:
            count: of times.
            time_step: between two of them.
        """
        times = time_step * np.arange(count)
        covariance = np.exp(-(((times[:, None] - times) / self.duration) ** 2))
        variances, modes = np.linalg.eigh(covariance)
        kept = variances > LEAST * variances.sum()
        return modes[:, kept] * np.sqrt(variances[kept])
