"""Gibbs-energy neural networks: priors that predict a state from its neighbours in time."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.checks import build_once


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearBlock(keras.layers.Layer):
    """Zero-centre convolution, ReLU, and a bilinear stage (the psi of Section 3.2).

        h = ReLU(W * state),  W zero at the centre of its window
        u = N h;    output = O [A u, (B u) (C u)]

    so that nothing of a state at a time enters its own prediction. All but the first are maps
    of single times, without biases.

    Args:
        filters: channels of the output.
        units: channels of the bilinear stage; h has twice as many.
        kernel_size: odd width of the convolution, in time steps.
        zero_centre: whether the kernel's centre is held at zero, during training too.

    Call arguments:
        state: [batch, time, component].

    Returns:
        [batch, time, filters].
    """

    def __init__(
        self,
        filters: int,
        units: int = 30,
        kernel_size: int = 11,
        zero_centre: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"Received kernel_size={kernel_size}; expected an odd number.")
        self.filters = filters
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre

    def build(self, input_shape):
        """Create the kernels."""
        n, width = self.units, 2 * self.units
        self.kernel = self._weight((self.kernel_size, input_shape[-1], width), "kernel")
        self.narrow = self._weight((width, n), "narrow")
        self.linear = self._weight((n, n), "linear")
        self.left = self._weight((n, n), "left")
        self.right = self._weight((n, n), "right")
        self.out = self._weight((width, self.filters), "out")
        centre = np.ones((self.kernel_size, 1, 1))
        centre[self.kernel_size // 2] = 0.0 if self.zero_centre else 1.0
        self._centre = centre

    def _weight(self, shape, name):
        return self.add_weight(shape=shape, initializer="glorot_uniform", name=name)

    def call(self, state):
        """The convolution and the bilinear stage."""
        kernel = self.kernel * tf.constant(self._centre, self.compute_dtype)
        hidden = tf.nn.relu(tf.nn.conv1d(state, kernel, stride=1, padding="SAME"))
        hidden = tf.matmul(hidden, self.narrow)
        product = tf.matmul(hidden, self.left) * tf.matmul(hidden, self.right)
        linear = tf.matmul(hidden, self.linear)
        return tf.matmul(tf.concat([linear, product], axis=-1), self.out)

    def get_config(self):
        """Sizes and constraint."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "units": self.units,
            "kernel_size": self.kernel_size,
            "zero_centre": self.zero_centre,
        }


@keras.saving.register_keras_serializable(package="tf4dvar")
class TwoScaleGENN(keras.layers.Layer):
    """Two-scale GENN prior (eq. 10): Phi(x) = Up(psi_1(Down(x))) + psi_2(x).

    Down averages over `scale` time steps, Up is a transposed convolution of that stride. The
    last times of a window that is no multiple of it are repeated for the coarse scale. About
    15,300 parameters for three components.

    Args:
        units, kernel_size, zero_centre: of both `BilinearBlock`s.
        scale: number of time steps of a coarse one.

    Call arguments:
        state: [batch, time, component], normalised units.

    Returns:
        Same shape.
    """

    def __init__(
        self,
        units: int = 30,
        kernel_size: int = 11,
        zero_centre: bool = True,
        scale: int = 4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre
        self.scale = scale

    def build(self, input_shape):
        """Build both scales and the way up."""
        components = input_shape[-1]
        self.fine = self._block(components)
        self.coarse = self._block(self.units)
        build_once(self.fine, input_shape)
        build_once(self.coarse, input_shape)
        self.up = self.add_weight(
            shape=(self.units, self.scale, components),
            initializer="glorot_uniform",
            name="up",
        )

    def _block(self, filters):
        return BilinearBlock(
            filters, self.units, self.kernel_size, self.zero_centre, dtype=self.dtype_policy
        )

    def call(self, state):
        """The sum of the two scales."""
        return self.fine(state) + self._up(self.coarse(self._down(state)), tf.shape(state)[1])

    def _down(self, state):
        """Means over blocks of `scale` times, the last time repeated to fill the last block."""
        batch, steps = tf.unstack(tf.shape(state)[:2])
        missing = -steps % self.scale
        tail = tf.repeat(state[:, -1:], missing, axis=1)
        shape = (batch, (steps + missing) // self.scale, self.scale, state.shape[-1])
        return tf.reduce_mean(tf.reshape(tf.concat([state, tail], axis=1), shape), axis=2)

    def _up(self, coarse, steps):
        """The transposed convolution: kernel and stride are the same, so that it is a product."""
        width, scale, components = self.up.shape
        blocks = tf.matmul(coarse, tf.reshape(self.up, (width, scale * components)))
        return tf.reshape(blocks, (tf.shape(coarse)[0], -1, components))[:, :steps]

    def get_config(self):
        """The settings."""
        return {
            **super().get_config(),
            "units": self.units,
            "kernel_size": self.kernel_size,
            "zero_centre": self.zero_centre,
            "scale": self.scale,
        }
