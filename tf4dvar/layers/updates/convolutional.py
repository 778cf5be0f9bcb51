"""What the convolutional updates have in common."""

from collections.abc import Sequence

import tensorflow as tf

from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import Update
from tf4dvar.layers.kernels.convolution import Convolution, check_boundary, check_kernel_size
from tf4dvar.layers.kernels.segments import check_segment, from_channels, to_channels


class ConvolutionalUpdate(Update):
    """An update made of convolutions over time and space.

    Args:
        kernel_size: odd width of the convolutions, in time steps and along every axis of space.
        boundary: what lies beyond the edges of space; see `Convolution`.
        circle: the components are one variable on a circle, not several variables: the
            convolutions are over them too, and periodic.
        segment: the times of a segment of so many are channels, and the convolutions are over
            space alone; by default they are over time too.
    """

    def __init__(
        self,
        kernel_size: int,
        boundary: str | Sequence[str],
        circle: bool,
        segment: int | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_kernel_size(kernel_size)
        check_boundary(boundary)
        if circle and boundary not in ("zero", "periodic"):
            raise ValueError(
                f"Received circle=True and boundary={boundary!r}; a circle is periodic: expected "
                "one of the two alone."
            )
        if segment is not None:
            check_segment(segment)
        self.kernel_size = kernel_size
        self.segment = segment
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self.circle = circle

    def with_channels(self, values):
        """The values, [batch, time or segment, *space, channel]."""
        values = values[..., tf.newaxis] if self.circle else values
        return values if self.segment is None else to_channels(values, self.segment)

    def without_channels(self, values, like):
        """The inverse, with as many times as `like`."""
        if self.segment is not None:
            values = from_channels(values, self.segment, tf.shape(like)[1])
        return values[..., 0] if self.circle else values

    def shape_with_channels(self, shape: tuple) -> tuple:
        """That of `with_channels`."""
        if self.circle:
            check_series(self, shape)
            shape = (*shape, 1)
        if self.segment is None:
            return tuple(shape)
        batch, _, *space, variables = shape
        return (batch, None, *space, variables * self.segment)

    def convolution(self, shape: tuple, filters: int, kernel_size: int, **settings) -> Convolution:
        """A convolution of this update, built for inputs of a shape."""
        boundary = "periodic" if self.circle else self.boundary
        in_time = kernel_size if self.segment is None else 1
        widths = (in_time, *[kernel_size] * (len(shape) - 3))
        layer = Convolution(filters, widths, boundary, dtype=self.dtype_policy, **settings)
        build_once(layer, shape)
        return layer
