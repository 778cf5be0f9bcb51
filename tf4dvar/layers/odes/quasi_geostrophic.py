"""Quasi-geostrophic dynamics of one layer or two, an ODE of heights in a periodic box."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from scipy import fft

from tf4dvar.layers.contracts import ODE
from tf4dvar.systems.quasi_geostrophic import DAY, GRAVITY

# What the weights count, so that all are near one: m, 1/(m s), m/s, m/s, 1/s.
UNITS = np.array([1e4, 1e-11, 0.1, 0.1, 1e-6])


@keras.saving.register_keras_serializable(package="tf4dvar")
class QuasiGeostrophicODE(ODE):
    """The equations of `tf4dvar.systems.QuasiGeostrophic`, of heights h_i = f psi_i / g.

        dq_i/dt = -J(psi_i, q_i) - U_i dq_i/dx - Q_i dh_i/dx - (drag laplacian h_2 if i is 2)
        q_i = laplacian h_i + F_i (h_j - h_i)

    Derivatives are exact of the grid's waves (`tf.signal.rfft2d`). Height 1 is that of the
    surface; of two layers height 2 is the pressure of the lower one. The mean of a height stays.
    Radius, beta, flows and drag are learned, each in a unit that makes it about one, unless
    `trainable=False`.

    Args:
        spacing: of the points, the same in y and x, m.
        layers: 1 or 2.
        deformation_radius: m.
        beta: gradient of the planetary vorticity, 1/(m s).
        flows: mean flows U_1 and U_2, m/s.
        drag: of the lower layer, 1/s.
        thickness_ratio: H_1/H_2, not learned.
        coriolis: f, 1/s, not learned.

    Call arguments:
        state: heights, m, [batch, time, y, x, layer], periodic in y and x.

    Returns:
        dh/dt, same shape, m per day.

    Usage:

        from tf4dvar.layers import QuasiGeostrophicODE

        ode = QuasiGeostrophicODE(spacing=20e3, layers=1)
        assert ode(np.zeros((1, 1, 8, 8, 1))).shape == (1, 1, 8, 8, 1)
    """

    def __init__(
        self,
        spacing: float,
        layers: int = 2,
        deformation_radius: float = 30e3,
        beta: float = 1.6e-11,
        flows: Sequence[float] = (0.1, 0.0),
        drag: float = 1.16e-6,
        thickness_ratio: float = 0.25,
        coriolis: float = 1e-4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if layers not in (1, 2) or not spacing > 0 or not deformation_radius > 0:
            raise ValueError(
                f"Received layers={layers}, spacing={spacing} and deformation_radius="
                f"{deformation_radius}; expected 1 or 2 layers, and positive lengths."
            )
        self.spacing, self.layers = float(spacing), layers
        self.deformation_radius, self.beta = deformation_radius, beta
        self.flows, self.drag = tuple(flows), drag
        self.thickness_ratio, self.coriolis = thickness_ratio, coriolis

    def build(self, input_shape):
        """Create the five numbers."""
        shape = tuple(input_shape)
        if len(shape) != 5 or None in shape[2:] or shape[-1] != self.layers:
            raise ValueError(
                f"{type(self).__name__} received an input of shape {shape}; expected "
                f"[batch, time, y, x, {self.layers}], y and x known."
            )
        numbers = self.deformation_radius, self.beta, *self.flows, self.drag
        self._numbers = self.add_weight(
            shape=(5,), initializer=keras.initializers.Constant(numbers / UNITS), name="numbers"
        )

    def with_adjoint(self, state):
        """The right-hand side and its adjoint; see `tf4dvar.layers.adjoint`."""
        rows, columns = size = state.shape[2:4]
        kx, ky = np.meshgrid(fft.rfftfreq(columns), fft.fftfreq(rows))
        kx, ky = (2 * np.pi / self.spacing * each for each in (kx, ky))
        squared = tf.constant(kx**2 + ky**2, state.dtype)
        ikx, iky = (_complex(1j * each, state) for each in (kx, ky))
        numbers = tf.unstack(tf.convert_to_tensor(self._numbers) * UNITS.astype(state.dtype.name))
        flows = self._of_layers(*numbers[2:4])
        to_vorticity, to_height = self._matrices(squared, numbers[0])
        ikx_gradients = ikx * _complex(self._gradients(*numbers[:4]), state)
        drag = _complex(tf.stack([0 * squared, numbers[4] * squared])[: self.layers], state)
        speed = _complex(GRAVITY / self.coriolis, state)

        def transform(fields):
            return tf.signal.rfft2d(fields)

        def inverse(fields):
            return tf.signal.irfft2d(fields, size)

        height = transform(tf.transpose(state, (0, 1, 4, 2, 3)))
        waves = [-iky * speed * height, ikx * speed * height, _times(to_vorticity, height)]
        u, v, q = tf.unstack(inverse(tf.stack(waves)))
        u += flows
        along, across = tf.unstack(transform(tf.stack([u * q, v * q])))
        slope = (drag - ikx_gradients) * height - ikx * along - iky * across
        slope = DAY * inverse(_times(to_height, slope))

        def adjoint(residual):
            residual = transform(DAY * tf.transpose(residual, (0, 1, 4, 2, 3)))
            residual = _times(tf.transpose(to_height, (1, 0, 2, 3)), residual)
            x, y = tf.unstack(inverse(tf.stack([ikx * residual, iky * residual])))
            of_u, of_v, of_q = tf.unstack(transform(tf.stack([q * x, q * y, u * x + v * y])))
            total = (drag + ikx_gradients) * residual + speed * (iky * of_u - ikx * of_v)
            total += _times(tf.transpose(to_vorticity, (1, 0, 2, 3)), of_q)
            return tf.transpose(inverse(total), (0, 1, 3, 4, 2))

        return tf.transpose(slope, (0, 1, 3, 4, 2)), adjoint

    def _matrices(self, squared, radius):
        """From heights to vorticities and back, [layer, layer, ky, kx].

        Two layers move as one and against each other; each of these modes has an operator of its
        own.
        """
        ratio = self.thickness_ratio
        together, apart = [[ratio, 1.0], [ratio, 1.0]], [[1.0, -1.0], [-ratio, ratio]]
        modes = [(together, 0.0), (apart, radius**-2)]
        if self.layers == 1:
            modes = [([[1.0 + ratio]], radius**-2 / (1 + ratio))]
        # The mean has no slope: what it is divided by does not count.
        safe = tf.where(squared > 0, squared, 1.0)
        to_vorticity = to_height = 0.0
        for mode, stretching in modes:
            projection = -np.array(mode)[..., None, None] / (1 + ratio)
            projection = tf.constant(projection, squared.dtype)
            to_vorticity += projection * (squared + stretching)
            to_height += projection / (safe + stretching)
        return _complex(to_vorticity, squared), _complex(to_height, squared)

    def _gradients(self, radius, beta, upper, lower):
        """Of the mean vorticity to the north, over f/g, [layer, 1, 1]."""
        stretching = radius**-2 / (1 + self.thickness_ratio) * (upper - lower)
        return self._of_layers(beta + stretching, beta - self.thickness_ratio * stretching)

    def _of_layers(self, *numbers):
        # Not a slice of both: of a single layer TensorFlow's graph optimiser loses its new axes.
        return tf.reshape(tf.stack(numbers[: self.layers]), (-1, 1, 1))


def _complex(values, like):
    return tf.cast(values, "complex128" if like.dtype == "float64" else "complex64")


def _times(matrices, fields):
    """Matrices [layer, layer, ky, kx] times fields [..., layer, ky, kx]."""
    layers = range(matrices.shape[1])
    return sum(matrices[:, each] * fields[..., each, None, :, :] for each in layers)
