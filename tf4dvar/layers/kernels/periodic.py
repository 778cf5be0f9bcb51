"""Convolution on the component-time plane of a system on a circle."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.kernels.plane_convolution import convolve_plane


@keras.saving.register_keras_serializable(package="tf4dvar")
class PlaneConv(keras.layers.Layer):
    """Convolution over time and components: zeros beyond the window, periodic in components.

    Args:
        filters: channels of the output.
        kernel_size: odd width, in time steps and in components.
        use_bias: whether to add a bias to each channel.
        zero_centre: whether the centre weight is held at zero, during training too, so that no
            value enters its own output.

    Call arguments:
        plane: [batch, time, component, channel], more components than half the kernel.

    Returns:
        [batch, time, component, filters].
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        use_bias: bool = False,
        zero_centre: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        # Of a kernel of width 1 the constraint leaves nothing.
        least = 3 if zero_centre else 1
        if kernel_size < least or kernel_size % 2 == 0:
            raise ValueError(
                f"Received kernel_size={kernel_size}; expected an odd number of {least} or more."
            )
        self.filters = filters
        self.kernel_size = kernel_size
        self.use_bias = use_bias
        self.zero_centre = zero_centre

    def build(self, input_shape):
        """Create the kernel and, with `use_bias`, the bias."""
        *_, components, channels = input_shape
        reach = self.kernel_size // 2
        # Around a smaller circle the kernel would meet its own centre again.
        if components <= reach:
            raise ValueError(
                f"{type(self).__name__} received {components} components; "
                f"a kernel of width {self.kernel_size} needs more than {reach}."
            )
        self.kernel = self.add_weight(
            shape=(self.kernel_size, self.kernel_size, channels, self.filters),
            initializer="glorot_uniform",
            name="kernel",
        )
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        centre = np.ones((self.kernel_size, self.kernel_size, 1, 1))
        centre[reach, reach] = 0.0 if self.zero_centre else 1.0
        self._centre = centre

    def call(self, plane):
        """Wrap around, then convolve."""
        output = convolve_plane(plane, self.constrained_kernel())
        return output + self.bias if self.use_bias else output

    def constrained_kernel(self):
        """The kernel, with `zero_centre` its centre held at zero."""
        kernel = tf.convert_to_tensor(self.kernel)
        return kernel * tf.constant(self._centre, kernel.dtype) if self.zero_centre else kernel

    def get_config(self):
        """Sizes, bias and constraint."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "use_bias": self.use_bias,
            "zero_centre": self.zero_centre,
        }
