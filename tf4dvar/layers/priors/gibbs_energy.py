"""Gibbs-energy neural networks: priors that predict a state from its neighbours."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.adjoint import StateMap
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Prior
from tf4dvar.layers.kernels.bilinear_stage import bilinear_with_adjoint
from tf4dvar.layers.kernels.blocked_convolution import BlockedConvolution
from tf4dvar.layers.kernels.convolution import (
    check_boundary,
    check_kernel_size,
    checked_boundaries,
)
from tf4dvar.layers.kernels.field_convolution import FieldConvolution
from tf4dvar.layers.kernels.segments import (
    block_means,
    block_means_transposed,
    from_blocks,
    padded_blocks,
)
from tf4dvar.layers.kernels.times import sizes


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearBlock(StateMap):
    """Zero-centre convolution, ReLU, and a bilinear stage (psi and phi of Section 3.2).

        h = ReLU(W * state),  W zero at the centre of its window
        u = N h;    output = O [A u, (B u) (C u)]

    so that nothing of a state at a time, of a field at a time and place, enters its own prediction.
    All but the first are maps of single times and places, without biases.

    Args:
        filters: channels of the output.
        units: channels of the bilinear stage; h has twice as many.
        kernel_size: odd width of the convolution, in time steps and along every axis of space.
        zero_centre: whether the kernel's centre is held at zero, during training too.
        boundary: what lies beyond the edges of space; see `Convolution`.

    Call arguments:
        state: [batch, time, *space, component].

    Returns:
        [batch, time, *space, filters].
    """

    def __init__(
        self,
        filters: int,
        units: int = 30,
        kernel_size: int = 11,
        zero_centre: bool = True,
        boundary: str | Sequence[str] = "zero",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_kernel_size(kernel_size, least=3)
        check_boundary(boundary)
        self.filters = filters
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)

    def build(self, input_shape):
        """Create the kernels."""
        n, width = self.units, 2 * self.units
        widths = (self.kernel_size,) * (len(input_shape) - 2)
        self._boundaries = checked_boundaries(self, input_shape, widths)
        self.kernel = self._weight((*widths, input_shape[-1], width), "kernel")
        self.narrow = self._weight((width, n), "narrow")
        self.linear = self._weight((n, n), "linear")
        self.left = self._weight((n, n), "left")
        self.right = self._weight((n, n), "right")
        self.out = self._weight((width, self.filters), "out")
        centre = np.ones((*widths, 1, 1))
        centre[tuple(each // 2 for each in widths)] = 0.0 if self.zero_centre else 1.0
        self._centre = centre

    def _weight(self, shape, name):
        return self.add_weight(shape=shape, initializer="glorot_uniform", name=name)

    def with_adjoint(self, state, last=None):
        """The block and its adjoint; see `tf4dvar.layers.adjoint`.

        Args:
            state: [batch, time, *space, component].
            last: another map to follow, [filters, channels].
        """
        out = self._compute(self.out)
        out = out if last is None else tf.matmul(out, last)
        return bilinear_with_adjoint(
            self._convolution(state),
            state,
            narrow=self._compute(self.narrow),
            left=self._compute(self.left),
            right=self._compute(self.right),
            linear=tf.matmul(self._compute(self.linear), out[: self.units]),
            product=out[self.units :],
        )

    def _convolution(self, state):
        kernel = self._compute(self.kernel) * tf.constant(self._centre, self.compute_dtype)
        if self._boundaries:
            return FieldConvolution(kernel, self._boundaries, state)
        return BlockedConvolution(kernel, tf.shape(state)[1])

    def _compute(self, weight):
        return tf.cast(tf.convert_to_tensor(weight), self.compute_dtype)


@keras.saving.register_keras_serializable(package="tf4dvar")
class GENN(Prior):
    """GENN prior at two scales (eq. 10), or at one: Phi(x) = Up(Phi_1(Down(x))) + Phi_2(x).

    Down averages over `scale` time steps, Up is a transposed convolution of that stride. The
    last times of a window that is no multiple of it are repeated for the coarse scale. About
    15,300 parameters for three components. Of a field no value enters its own prediction, nor do
    those at its place within its coarse step; a `kernel_size` of 3 or 5 is wide enough there.

    Args:
        units, kernel_size, zero_centre, boundary: of each `BilinearBlock`.
        scale: number of time steps of a coarse one; None for the fine scale alone,
            Phi(x) = Phi_2(x).

    Call arguments:
        state: [batch, time, *space, component], normalised units.

    Returns:
        Same shape.
    """

    def __init__(
        self,
        units: int = 30,
        kernel_size: int = 11,
        zero_centre: bool = True,
        scale: int | None = 4,
        boundary: str | Sequence[str] = "zero",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_boundary(boundary)
        self.units = units
        self.kernel_size = kernel_size
        self.zero_centre = zero_centre
        self.scale = scale
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)

    def build(self, input_shape):
        """Build the scales and the way up."""
        components = input_shape[-1]
        self.fine = self._block(components, input_shape)
        if self.scale is not None:
            self.coarse = self._block(self.units, input_shape)
            self.up = self.add_weight(
                shape=(self.units, self.scale, components),
                initializer="glorot_uniform",
                name="up",
            )

    def _block(self, filters, input_shape):
        block = BilinearBlock(
            filters,
            self.units,
            self.kernel_size,
            self.zero_centre,
            self.boundary,
            dtype=self.dtype_policy,
        )
        build_once(block, input_shape)
        return block

    def with_adjoint(self, state):
        """The prior and its adjoint, see `tf4dvar.layers.adjoint`."""
        fine, adjoint_fine = self.fine.with_adjoint(state)
        if self.scale is None:
            return fine, adjoint_fine
        steps = tf.shape(state)[1]
        # The way up has one stride and kernel: a map of single coarse times, to a whole block.
        up = tf.cast(tf.convert_to_tensor(self.up), self.compute_dtype)
        last = tf.reshape(up, (self.units, -1))
        blocks, adjoint_coarse = self.coarse.with_adjoint(block_means(state, self.scale), last)
        *places, channels = sizes(blocks)
        by_time = tf.reshape(blocks, (*places, self.scale, state.shape[-1]))
        # Before the axes of space.
        last = len(places)
        by_time = tf.transpose(by_time, (0, 1, last, *range(2, last), last + 1))

        def adjoint(residual):
            by_block = padded_blocks(residual, self.scale)
            by_block = tf.transpose(by_block, (0, 1, *range(3, last + 1), 2, last + 1))
            coarse = adjoint_coarse(tf.reshape(by_block, (*places, channels)))
            return adjoint_fine(residual) + block_means_transposed(coarse, self.scale, steps)

        return fine + from_blocks(by_time, steps), adjoint
