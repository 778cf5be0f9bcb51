"""GENN prior over time and the components of a system on a circle."""

import keras
import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.contracts import Prior
from tf4dvar.layers.kernels.bilinear_stage import bilinear_with_adjoint
from tf4dvar.layers.kernels.convolution import Convolution
from tf4dvar.layers.kernels.periodic_convolution import PeriodicConvolution
from tf4dvar.layers.kernels.segments import (
    block_means,
    block_means_transposed,
    from_segments,
    to_segments,
)


@keras.saving.register_keras_serializable(package="tf4dvar")
class PeriodicBilinearBlock(ConfiguredLayer):
    """Zero-centre convolution, ReLU, and a bilinear stage (psi and phi of Section 3.2).

        h = ReLU(W * state),  W zero at the centre of its window
        u = N h;    output = R O [A u, (B u) (C u)]

    R is the linear map that the caller puts behind the block.

    Args:
        units: channels of every stage.
        kernel_size: odd width of the convolution, in time steps and in components.
        zero_centre: whether the kernel's centre is held at zero, during training too.

    Call arguments:
        state: [batch, time, component].
        readout: R, [units, channel].

    Returns:
        [batch, time, component, channel].
    """

    def __init__(self, units: int = 50, kernel_size: int = 11, zero_centre: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre

    def build(self, state_shape, *_):
        """Create the kernels."""
        n = self.units
        self.neighbours = Convolution(
            n,
            self.kernel_size,
            boundary="periodic",
            zero_centre=self.zero_centre,
            dtype=self.dtype_policy,
        )
        build_once(self.neighbours, (*state_shape, 1))
        self.narrow = self._weight((n, n), "narrow")
        self.linear = self._weight((n, n), "linear")
        self.products = self._weight((2, n, n), "products")
        self.out = self._weight((2, n, n), "out")

    def _weight(self, shape, name):
        return self.add_weight(shape=shape, initializer=_glorot, name=name)

    def call(self, state, readout):
        """The convolution and the bilinear stage."""
        return self.with_adjoint(state, readout)[0]

    def with_adjoint(self, state, readout):
        """The block and its adjoint; see `tf4dvar.layers.adjoint`."""
        shape = (*tf.unstack(tf.shape(state)[:2]), state.shape[-1])
        kernel = tf.cast(self.neighbours.constrained_kernel(), state.dtype)
        linear, narrow, out, products = (
            tf.cast(tf.convert_to_tensor(weight), state.dtype)
            for weight in (self.linear, self.narrow, self.out, self.products)
        )
        out = tf.matmul(out, readout)
        left, right = tf.unstack(tf.matmul(narrow, products))
        return bilinear_with_adjoint(
            PeriodicConvolution(kernel, shape),
            state,
            narrow=None,
            left=left,
            right=right,
            linear=tf.matmul(narrow, tf.matmul(linear, out[0])),
            product=out[1],
        )


# Not a `GENN` with another convolution: the paper's network for Lorenz-96 has other maps behind it,
# h no wider than u and one way out for both scales.
@keras.saving.register_keras_serializable(package="tf4dvar")
class PeriodicGENN(Prior):
    """GENN prior over time and components, at one or two scales (eq. 10), periodic.

        Phi(x) = Out(Up(Phi_1(Down(x))) + Phi_2(x))

    Down averages over `scale` time steps, Up is a transposed convolution of that stride in
    time, Out a linear map to one channel. No value depends on itself, but each may depend on
    other components at its own time. About 52,000 parameters, for any number of components.

    Args:
        units, kernel_size, zero_centre: of each `PeriodicBilinearBlock`.
        scale: number of time steps of a coarse one; None for the fine scale alone.

    Call arguments:
        state: [batch, time, component], normalised units; the components lie on a circle.

    Returns:
        Same shape.
    """

    def __init__(
        self,
        units: int = 50,
        kernel_size: int = 11,
        zero_centre: bool = True,
        scale: int | None = 4,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre
        self.scale = scale

    def build(self, input_shape):
        """Build the scales, the way up and the way out."""
        check_series(self, input_shape)
        self.fine = self._block(input_shape)
        self.out = self.add_weight(shape=(self.units, 1), initializer=_glorot, name="out")
        if self.scale is not None:
            self.coarse = self._block(input_shape)
            self.up = self.add_weight(
                shape=(self.scale, self.units, self.units), initializer=_glorot, name="up"
            )

    def _block(self, input_shape):
        block = PeriodicBilinearBlock(
            self.units, self.kernel_size, self.zero_centre, dtype=self.dtype_policy
        )
        build_once(block, input_shape)
        return block

    def with_adjoint(self, state):
        """The prior and its adjoint; see `tf4dvar.layers.adjoint`."""
        out = tf.cast(tf.convert_to_tensor(self.out), state.dtype)
        fine, adjoint_fine = self.fine.with_adjoint(state, out)
        if self.scale is None:
            return fine[..., 0], lambda r: adjoint_fine(r[..., tf.newaxis])
        steps = tf.shape(state)[1]
        # One channel for each time of a block.
        up = tf.cast(tf.convert_to_tensor(self.up), state.dtype)
        up = tf.transpose(tf.matmul(up, out)[..., 0])
        coarse, adjoint_coarse = self.coarse.with_adjoint(block_means(state, self.scale), up)

        def adjoint(residual):
            by_block = adjoint_coarse(to_segments(residual, self.scale))
            return adjoint_fine(residual[..., tf.newaxis]) + block_means_transposed(
                by_block, self.scale, steps
            )

        return fine[..., 0] + from_segments(coarse, steps), adjoint


def _glorot(shape, dtype=None):
    """Glorot's uniform weights for a stack of matrices [..., input, output]."""
    limit = (6.0 / (shape[-2] + shape[-1])) ** 0.5
    return keras.random.uniform(shape, -limit, limit, dtype=dtype)
