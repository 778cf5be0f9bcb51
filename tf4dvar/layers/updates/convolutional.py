"""What the convolutional updates have in common."""

from collections.abc import Sequence

import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.kernels.convolution import Convolution, check_boundary, check_kernel_size


class ConvolutionalUpdate(Update):
    """An update made of convolutions over time and space.

    Args:
        kernel_size: odd width of the convolutions, in time steps and along every axis of space.
        boundary: what lies beyond the edges of space; see `Convolution`.
        circle: the components are one variable on a circle, not several variables: the
            convolutions are over them too, and periodic.
    """

    def __init__(self, kernel_size: int, boundary: str | Sequence[str], circle: bool, **kwargs):
        super().__init__(**kwargs)
        check_kernel_size(kernel_size)
        check_boundary(boundary)
        if circle and boundary not in ("zero", "periodic"):
            raise ValueError(
                f"Received circle=True and boundary={boundary!r}; a circle is periodic: expected "
                "one of the two alone."
            )
        self.kernel_size = kernel_size
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self.circle = circle

    def with_channels(self, values):
        """The values, [batch, time, *space, channel]."""
        return values[..., tf.newaxis] if self.circle else values

    def without_channels(self, values):
        """The inverse."""
        return values[..., 0] if self.circle else values

    def shape_with_channels(self, shape: tuple) -> tuple:
        """That of `with_channels`."""
        if not self.circle:
            return tuple(shape)
        check_series(self, shape)
        return (*shape, 1)

    def convolution(self, shape: tuple, filters: int, kernel_size: int, **settings) -> Convolution:
        """A convolution of this update, built for inputs of a shape."""
        boundary = "periodic" if self.circle else self.boundary
        layer = Convolution(filters, kernel_size, boundary, dtype=self.dtype_policy, **settings)
        build_once(layer, shape)
        return layer
