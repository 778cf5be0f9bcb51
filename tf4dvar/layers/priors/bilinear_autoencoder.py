"""The bilinear auto-encoder prior of fields."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Prior
from tf4dvar.layers.kernels.bilinear_convolutions import BilinearConvolutions
from tf4dvar.layers.kernels.convolution import (
    boundary_of_each,
    check_boundary,
    check_kernel_size,
)
from tf4dvar.layers.kernels.resolution import (
    coarsened,
    coarsened_transposed,
    refined,
    refined_transposed,
)
from tf4dvar.layers.kernels.segments import check_segment, from_channels, to_channels


@keras.saving.register_keras_serializable(package="tf4dvar")
class BilinearAutoEncoder(Prior):
    """Bilinear auto-encoder of fields, at one or two resolutions (Beauchamp et al. 2023).

        psi(z) = leave([A h, (B h) (C h)]),    h = hidden(ReLU(enter(z)))
        Phi(x) = sum over resolutions of Up(psi(Down(x)))

    All maps are convolutions over space, and the times of a segment are their channels. Down
    averages over two places along every axis of space, Up interpolates linearly. About 54,600
    parameters for each resolution and one variable. Source: doi:10.5194/gmd-16-2119-2023.

    Args:
        units: channels of every stage.
        kernel_size: odd width of the convolutions along every axis of space.
        scales: of the resolutions: 1 is the grid itself, 2 half of it.
        segment: number of times that see each other, best the length of the windows; zeros fill
            the last segment of longer ones.
        boundary: what lies beyond the edges of space; see `Convolution`.

    Call arguments:
        state: [batch, time, *space, variable], normalised units.

    Returns:
        Same shape.
    """

    def __init__(
        self,
        units: int = 32,
        kernel_size: int = 3,
        scales: Sequence[int] = (2,),
        segment: int = 15,
        boundary: str | Sequence[str] = "zero",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_kernel_size(kernel_size)
        check_boundary(boundary)
        check_segment(segment)
        if tuple(scales) not in ((1,), (2,), (1, 2)):
            raise InputError(f"Received scales={scales}; expected (1,), (2,) or (1, 2).")
        self.units = units
        self.kernel_size = kernel_size
        self.scales = tuple(scales)
        self.segment = segment
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)

    def build(self, state_shape):
        """Create the convolutions of every resolution."""
        batch, _, *space, variables = state_shape
        self._boundaries = boundary_of_each(self.boundary, space)
        channels = variables * self.segment
        self.stages = []
        for scale in self.scales:
            layer = BilinearConvolutions(
                channels, self.units, self.kernel_size, self.boundary, dtype=self.dtype_policy
            )
            places = [None if size is None else -(-size // scale) for size in space]
            build_once(layer, (batch, None, *places, channels))
            self.stages.append(layer)

    def with_adjoint(self, state):
        """The predictions of all resolutions, added up, and their adjoint."""
        values, steps = to_channels(state, self.segment), tf.shape(state)[1]
        predictions, adjoints = [], []
        for scale, stage in zip(self.scales, self.stages, strict=True):
            coarse = values if scale == 1 else coarsened(values)
            prediction, adjoint = stage.with_adjoint(coarse)
            if scale != 1:
                prediction = refined(prediction, self._boundaries, like=values)
                adjoint = self._between_grids(adjoint, values, coarse)
            predictions.append(prediction)
            adjoints.append(adjoint)

        def adjoint_of_all(residual):
            channels = to_channels(residual, self.segment)
            together = tf.add_n([adjoint(channels) for adjoint in adjoints])
            return from_channels(together, self.segment, steps)

        return from_channels(tf.add_n(predictions), self.segment, steps), adjoint_of_all

    def _between_grids(self, adjoint, values, coarse):
        """The adjoint of what is computed on the coarser grid, on the grid itself."""

        def on_the_grid(residual):
            residual = refined_transposed(residual, self._boundaries, like=coarse)
            return coarsened_transposed(adjoint(residual), like=values)

        return on_the_grid
