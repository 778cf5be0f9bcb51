"""Convolution over time and space, of any number of space axes."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.configured import ConfiguredLayer
from tf4dvar.layers.kernels.times import pad_times, part, sizes, times

BOUNDARIES = ("zero", "periodic", "reflected")


@keras.saving.register_keras_serializable(package="tf4dvar")
class Convolution(ConfiguredLayer):
    """Convolution over time and all axes of space; zeros lie before and after the window.

    Args:
        filters: channels of the output.
        kernel_size: odd width, in time steps and along every axis of space, or for each of them.
        boundary: what lies beyond the edges of space, for all axes or for each: "zero"; "periodic",
            the other end of a circle; "reflected", the values mirrored at the last one.
        use_bias: whether to add a bias to each channel.
        zero_centre: whether the centre weight is held at zero, during training too, so that no
            value enters its own output.
        kernel_initializer: as of `keras.layers.Conv2D`.

    Call arguments:
        values: [batch, time, *space, channel]; an axis of space that is periodic or reflected is
            longer than half the kernel.

    Returns:
        [batch, time, *space, filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | Sequence[int] = 3,
        boundary: str | Sequence[str] = "zero",
        use_bias: bool = False,
        zero_centre: bool = False,
        kernel_initializer: str | Callable = "glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_kernel_size(kernel_size, least=3 if zero_centre else 1)
        check_boundary(boundary)
        self.filters = filters
        self.kernel_size = kernel_size if isinstance(kernel_size, int) else tuple(kernel_size)
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self.use_bias = use_bias
        self.zero_centre = zero_centre
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        """Create the kernel and, with `use_bias`, the bias."""
        widths = self._widths_of_each(input_shape)
        self._boundaries = checked_boundaries(self, input_shape, widths)
        self.kernel = self.add_weight(
            shape=(*widths, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        self._centre = np.ones((*widths, 1, 1))
        self._centre[tuple(width // 2 for width in widths)] = 0.0 if self.zero_centre else 1.0

    def _widths_of_each(self, shape):
        """The width in time and along every axis of space."""
        axes = len(shape) - 2
        if isinstance(self.kernel_size, int):
            return (self.kernel_size,) * axes
        if len(self.kernel_size) != axes:
            raise ValueError(
                f"{type(self).__name__} with kernel_size={self.kernel_size} received an input of "
                f"shape {tuple(shape)}; expected a width for time and for each axis of space."
            )
        return self.kernel_size

    def call(self, values):
        """Convolve, and add the bias."""
        output = convolve(values, self.constrained_kernel(), self._boundaries)
        return output + self.bias if self.use_bias else output

    def transposed(self, gradient):
        """The transpose of the linear map, [batch, time, *space, filters] to the input's shape."""
        return convolve_transposed(gradient, self.constrained_kernel(), self._boundaries)

    def constrained_kernel(self):
        """The kernel, with `zero_centre` its centre held at zero."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel * tf.constant(self._centre, kernel.dtype) if self.zero_centre else kernel


def check_kernel_size(kernel_size: int | Sequence[int], least: int = 1) -> None:
    """Refuse a kernel without a centre, or of one value where its neighbours have to count.

    Args:
        kernel_size: its width, or that along each axis.
        least: the smallest, of the largest of them.
    """
    widths = (kernel_size,) if isinstance(kernel_size, int) else tuple(kernel_size)
    if max(widths) < least or any(width < 1 or width % 2 == 0 for width in widths):
        raise ValueError(
            f"Received kernel_size={kernel_size}; expected an odd number of {least} or more."
        )


def boundary_of_each(boundary: str | Sequence[str], space: Sequence) -> tuple[str, ...]:
    """The boundary of every axis of space.

    Args:
        boundary: of all of them, or of each.
        space: the axes' sizes.
    """
    return (boundary,) * len(space) if isinstance(boundary, str) else tuple(boundary)


def checked_boundaries(
    layer: keras.layers.Layer, shape: tuple, widths: Sequence[int]
) -> tuple[str, ...]:
    """The boundary of every axis of space; an input that it does not fit is refused.

    Args:
        layer: of a `boundary` and a `kernel_size`.
        shape: of its input, [batch, time, *space, channel].
        widths: of its kernel, in time and along every axis of space.
    """
    space = shape[2:-1]
    boundaries = boundary_of_each(layer.boundary, space)
    fits = len(shape) > 2 and len(boundaries) == len(space)
    # Around a smaller circle the kernel would meet its own centre again.
    least = [
        1 if boundary == "zero" else width // 2 + 1
        for boundary, width in zip(boundaries, widths[1:], strict=False)
    ]
    if not fits or any((size or np.inf) < few for size, few in zip(space, least, strict=True)):
        raise ValueError(
            f"{type(layer).__name__} with boundary={layer.boundary!r} and "
            f"kernel_size={layer.kernel_size} received an input of shape {tuple(shape)}; "
            "expected [batch, time, *space, channel], a boundary for each axis of space, and "
            f"more than {max(widths, default=1) // 2} values along one that is periodic or "
            "reflected."
        )
    return boundaries


def check_boundary(boundary: str | Sequence[str]) -> None:
    """Refuse what is no boundary.

    Args:
        boundary: of all axes of space, or of each.
    """
    each = (boundary,) if isinstance(boundary, str) else boundary
    if not {*each} <= {*BOUNDARIES}:
        raise ValueError(
            f"Received boundary={boundary!r}; expected one of {BOUNDARIES}, or one for each axis "
            "of space."
        )


def convolve(values, kernel, boundaries: Sequence[str]):
    """A convolution, zero before and after the window.

    Args:
        values: [batch, time, *space, channel].
        kernel: [width in time, width along each axis of space, channel, filters], odd widths.
        boundaries: one for each axis of space.

    Returns:
        [batch, time, *space, filters].
    """
    if kernel.shape.num_elements() == 1:
        # As a convolution the two maps of a `ConvCell` on a circle took a fifth of a step's time.
        return values * tf.reshape(kernel, ())
    reaches = _reaches(kernel)
    if _is_zero_beyond(boundaries, reaches):
        return _convolve(values, kernel, "SAME")
    for axis, (boundary, reach) in enumerate(zip(boundaries, reaches, strict=True), start=2):
        if reach:
            values = extended(values, axis, reach, boundary)
    return _convolve(values, kernel, "VALID")


def convolve_transposed(gradient, kernel, boundaries: Sequence[str]):
    """The transpose of `convolve`: a convolution with the kernel turned round.

    Args:
        gradient: [batch, time, *space, filters].
        kernel, boundaries: as of `convolve`.

    Returns:
        [batch, time, *space, channel].
    """
    if kernel.shape.num_elements() == 1:
        return convolve(gradient, kernel, boundaries)
    last = len(kernel.shape) - 1
    turned = tf.reverse(kernel, [*range(last - 1)])
    turned = tf.transpose(turned, (*range(last - 1), last, last - 1))
    reaches = _reaches(kernel)
    if _is_zero_beyond(boundaries, reaches):
        return _convolve(gradient, turned, "SAME")
    for axis, (boundary, reach) in enumerate(zip(boundaries, reaches, strict=True), start=2):
        if not reach:
            continue
        if boundary == "reflected":
            # What was mirrored beyond the edges comes back from there, below.
            gradient = extended(gradient, axis, 2 * reach, "zero")
        else:
            gradient = extended(gradient, axis, reach, boundary)
    values = _convolve(gradient, turned, "VALID")
    for axis, (boundary, reach) in enumerate(zip(boundaries, reaches, strict=True), start=2):
        if reach and boundary == "reflected":
            values = extended_transposed(values, axis, reach, boundary)
    return values


def _reaches(kernel):
    """Of a kernel along every axis of space."""
    return [width // 2 for width in kernel.shape[1:-2]]


def _is_zero_beyond(boundaries, reaches):
    """Whether there is nothing but zeros beyond all edges of space."""
    return all(
        boundary == "zero" or not reach for boundary, reach in zip(boundaries, reaches, strict=True)
    )


def _convolve(values, kernel, padding):
    """A convolution over time, zero beyond the window, and over the axes of space.

    Those are extended before (`padding` is "VALID"), or zero beyond the edges ("SAME").
    """
    if values.shape[1] == 1:  # which has no neighbours in time
        kernel = kernel[kernel.shape[0] // 2 :][:1]
    width, *widths, _, _ = kernel.shape
    if not widths:
        return tf.nn.conv1d(values, kernel, stride=1, padding="SAME")
    if len(widths) == 1:
        over_time = [[0, 0], [width // 2, width // 2], [0, 0], [0, 0]]
        padding = over_time if padding == "VALID" else padding
        return tf.nn.conv2d(values, kernel, strides=1, padding=padding)
    return _convolve_times_as_channels(values, kernel, padding)


def extended(values, axis: int, reach: int, boundary: str):
    """The values, and what lies beyond both ends of an axis.

    Args:
        values: [batch, time, *space, channel].
        axis: of space.
        reach: how many values are added at each end.
        boundary: of this axis.
    """
    if boundary == "zero":
        widths = [[0, 0]] * len(values.shape)
        widths[axis] = [reach, reach]
        return tf.pad(values, widths)

    count = sizes(values)[axis]
    if boundary == "periodic":
        before, after = part(values, axis, count - reach, reach), part(values, axis, 0, reach)
    else:
        before = tf.reverse(part(values, axis, 1, reach), [axis])
        after = tf.reverse(part(values, axis, count - reach - 1, reach), [axis])
    return tf.concat([before, values, after], axis)


def extended_transposed(gradient, axis: int, reach: int, boundary: str):
    """The transpose of `extended`: what lies beyond both ends is added where it came from.

    Args:
        gradient: [batch, time, *space, channel], extended along an axis.
        axis, reach, boundary: as of `extended`.
    """
    count = sizes(gradient)[axis]
    within = part(gradient, axis, reach, count - 2 * reach)
    if boundary == "zero":
        return within
    before = part(gradient, axis, 0, reach)
    after = part(gradient, axis, count - reach, reach)
    last = sizes(within)[axis] - reach

    def placed(values, start):
        widths = [[0, 0]] * len(values.shape)
        widths[axis] = [start, last - start]
        return tf.pad(values, widths)

    if boundary == "periodic":
        return within + placed(before, last) + placed(after, 0)
    before, after = tf.reverse(before, [axis]), tf.reverse(after, [axis])
    return within + placed(before, 1) + placed(after, last - 1)


def _convolve_times_as_channels(values, kernel, padding):
    """As `_convolve`, over two or more axes of space.

    The neighbours in time are channels: in training that takes a fifth of the time of a
    convolution with one axis more.
    """
    width, *widths, channels, filters = kernel.shape
    batch, steps, *_ = tf.unstack(tf.shape(values))
    neighbours = values
    if width > 1:
        padded = pad_times(values, width // 2, width // 2)
        neighbours = tf.concat([times(padded, k, steps) for k in range(width)], axis=-1)
    maps = tf.reshape(neighbours, (-1, *tf.unstack(tf.shape(neighbours))[2:]))
    last = len(widths) + 1
    by_channel = tf.transpose(kernel, (*range(1, last), 0, last, last + 1))
    by_channel = tf.reshape(by_channel, (*widths, width * channels, filters))
    # Said outright: where it is not, TensorFlow has no second derivative outside of a graph.
    order = {2: "NHWC", 3: "NDHWC"}[len(widths)]
    output = tf.nn.convolution(maps, by_channel, padding=padding, data_format=order)
    return tf.reshape(output, (batch, steps, *tf.unstack(tf.shape(output))[1:-1], filters))
