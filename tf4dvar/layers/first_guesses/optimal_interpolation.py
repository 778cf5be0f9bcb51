"""A first guess by optimal interpolation."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.contracts import FirstGuess
from tf4dvar.layers.kernels.convolution import boundary_of_each, check_boundary
from tf4dvar.layers.kernels.waves import (
    axis_of,
    frequencies_of,
    superposed,
    superposed_transposed,
)
from tf4dvar.layers.precise_layer import PreciseLayer

# Of the conjugate gradients, in which rounding errors end their way too.
MOST_ITERATIONS = 300


@keras.saving.register_keras_serializable(package="tf4dvar")
class OptimalInterpolation(PreciseLayer, FirstGuess):
    """Optimal interpolation in time and space whose covariance is learned with the model.

    The covariance is one of Matern's in a frame that drifts. By its spectral density at the
    wavenumber k and the frequency w,

        S ~ (1 + q / (2 nu))^-(nu + d / 2),   q = length^2 |k|^2 + duration^2 (w + drift . k)^2,

    in d dimensions of time and space, the field is a sum of waves of independent amplitudes, as of
    Solin and Sarkka (2020, doi:10.1007/s11222-019-09886-w). The best amplitudes given the
    observations are found by conjugate gradients, preconditioned as if these lay evenly. Every
    variable is by itself.

    Args:
        length, duration: to begin with, in steps of the grid and of time.
        drift: to begin with, in steps of the grid a step of time, of all axes of space or each.
        smoothness: nu to begin with; a large one is a Gaussian covariance.
        noise_variance: of the observations to begin with, normalised.
        shortest_wavelength, shortest_period: of the waves, in steps of the grid and of time. They
            limit the detail, and the cost.
        boundary: what lies beyond the edges of space, for all axes or for each: "periodic", the
            other end; else anything.
        tolerance: share of the residual that the conjugate gradients leave. What is left changes
            maps by far less than their error.

    Call arguments:
        observations: [batch, time, *space, variable], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0.

    Returns:
        The first guess x0, same shape.

    Usage:

        guess = OptimalInterpolation(length=3.0, duration=4.0, boundary="periodic")
        seen = np.zeros((1, 8, 16, 16, 1), "float32")
        seen[:, 4, 8, 8] = 1.0
        filled = guess(seen, seen)
        assert np.argmax(filled[0, 4, 8, :, 0]) == 8
    """

    of_observations = True

    def __init__(
        self,
        length: float = 5.0,
        duration: float = 9.0,
        smoothness: float = 2.0,
        noise_variance: float = 0.03,
        shortest_wavelength: float = 6.0,
        shortest_period: float = 4.0,
        boundary: str | Sequence[str] = "zero",
        tolerance: float = 3e-3,
        drift: float | Sequence[float] = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_boundary(boundary)
        self.length = length
        self.duration = duration
        self.smoothness = smoothness
        self.noise_variance = noise_variance
        self.shortest_wavelength = shortest_wavelength
        self.shortest_period = shortest_period
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self.tolerance = tolerance
        self.drift = drift if isinstance(drift, int | float) else tuple(drift)
        positive = ("length", "duration", "smoothness", "noise_variance", "tolerance")
        for name, least in (
            *((name, np.finfo("float32").tiny) for name in positive),
            ("shortest_wavelength", 2),
            ("shortest_period", 2),
        ):
            value = getattr(self, name)
            if not least <= value < np.inf:
                wanted = "a positive number" if name in positive else f"{least} or more"
                raise InputError(f"Received {name}={value}; expected {wanted}.")

    def build(self, observations_shape, *_):
        """Create the parameters of every variable's covariance."""
        *_, variables = observations_shape
        space = observations_shape[2:-1]
        self._boundaries = boundary_of_each(self.boundary, space)
        if len(self._boundaries) != len(space):
            raise ValueError(
                f"{type(self).__name__} with boundary={self.boundary!r} received an input of shape "
                f"{tuple(observations_shape)}; expected a boundary for each axis of space."
            )
        for name, value in (
            ("length", self.length),
            ("duration", self.duration),
            ("smoothness", self.smoothness),
            ("noise_variance", self.noise_variance),
            ("variance", 1.0),
        ):
            weight = self.add_weight(
                shape=(variables,),
                initializer=keras.initializers.Constant(np.log(value)),
                name=f"log_{name}",
            )
            setattr(self, f"log_{name}", weight)
        shape = variables, len(space)
        self.drifts = self.add_weight(
            shape=shape,
            initializer=keras.initializers.Constant(np.broadcast_to(self.drift, shape)),
            name="drift",
        )

    def set_covariance(
        self,
        length: float,
        duration: float,
        smoothness: float,
        noise_variance: float,
        drift: Sequence[float],
    ) -> None:
        """Put one covariance, of variance 1, in place of every variable's, once it is built.

        Args:
            length, duration, smoothness, noise_variance: as of the class.
            drift: along each axis of space.
        """
        for weight, value in (
            (self.log_length, length),
            (self.log_duration, duration),
            (self.log_smoothness, smoothness),
            (self.log_noise_variance, noise_variance),
            (self.log_variance, 1.0),
        ):
            weight.assign(np.full(weight.shape, np.log(value)))
        self.drifts.assign(np.broadcast_to(drift, self.drifts.shape))

    def call(self, observations, mask):
        """The best sum of waves."""
        values, mask = (_variables_first(each) for each in (observations, mask))
        axes = self._axes(tf.shape(values)[2:])
        noise = tf.reshape(tf.exp(self.log_noise_variance), (-1, *[1] * len(axes)))
        deviations = tf.sqrt(self._variances(axes))[..., tf.newaxis]

        def simulated(amplitudes):
            return superposed(deviations * amplitudes, axes)

        def towards(values):
            return deviations * superposed_transposed(mask * values / noise, axes)

        # Of observations spread evenly the matrix would be diagonal: the mean of cos^2 is a half.
        count = tf.reduce_sum(mask, axis=tuple(range(2, len(mask.shape))), keepdims=True)
        diagonal = 1 + (count / (2 * noise))[..., tf.newaxis] * tf.square(deviations)
        amplitudes = _solution(
            lambda each: each + towards(simulated(each)),
            towards(values),
            diagonal,
            self.tolerance,
        )
        return _variables_last(simulated(amplitudes))

    def _axes(self, sizes):
        """The waves along time and along every axis of space."""
        shortest = [self.shortest_period] + [self.shortest_wavelength] * len(self._boundaries)
        last = len(shortest) - 1
        return [
            axis_of(points, wave, boundary == "periodic", number == last, self.compute_dtype)
            for number, (points, wave, boundary) in enumerate(
                zip(tf.unstack(sizes), shortest, ("zero", *self._boundaries), strict=True)
            )
        ]

    def _variances(self, axes):
        """Of the amplitudes of all waves, [variable, *wave]."""
        frequency, *numbers = frequencies_of(axes)

        def each(weight):
            return tf.reshape(weight, (-1, *[1] * len(axes)))

        length, duration, smoothness, variance = (
            each(tf.exp(weight))
            for weight in (
                self.log_length,
                self.log_duration,
                self.log_smoothness,
                self.log_variance,
            )
        )
        for number, drift in zip(numbers, tf.unstack(self.drifts, axis=1), strict=True):
            frequency = frequency + each(drift) * number
        square = tf.square(duration * frequency)
        for number in numbers:
            square = square + tf.square(length * number)
        exponent = smoothness + len(axes) / 2
        density = tf.exp(-exponent * tf.math.log1p(square / (2 * smoothness)))
        # A wave and that of all signs changed are the same; where the last is 0 both are there.
        density *= tf.where(frequencies_of(axes)[-1] > 0, tf.ones_like(density), 0.5)
        total = tf.reduce_sum(density, axis=tuple(range(1, len(density.shape))), keepdims=True)
        return variance * density / total


def _variables_first(values):
    """[batch, time, *space, variable] to [batch, variable, time, *space]."""
    last = len(values.shape) - 1
    return tf.transpose(values, (0, last, *range(1, last)))


def _variables_last(values):
    """The inverse of `_variables_first`."""
    return tf.transpose(values, (0, *range(2, len(values.shape)), 1))


def _solution(matrix, right, diagonal, tolerance):
    """x of matrix(x) = right, which is symmetric, of every window and variable.

    Its derivative is that of the equation, so that no step has to be kept.
    """
    found = tf.stop_gradient(_conjugate_gradients(matrix, right, diagonal, tolerance))

    @tf.custom_gradient
    def differentiable(residual):
        del residual  # which is 0
        return tf.identity(found), lambda upstream: _conjugate_gradients(
            matrix, upstream, diagonal, tolerance
        )

    return differentiable(right - matrix(found))


def _conjugate_gradients(matrix, right, diagonal, tolerance):
    """As `_solution`, preconditioned by a diagonal."""
    axes = tuple(range(2, len(right.shape)))

    def product(first, second):
        return tf.reduce_sum(first * second, axis=axes, keepdims=True)

    scaled = right / diagonal
    enough = tolerance**2 * product(right, scaled)

    def step(solution, residual, direction, square):
        # A window that is done stays as it is, whatever others are in its batch.
        square = tf.where(square > enough, square, tf.zeros_like(square))
        image = matrix(direction)
        size = tf.math.divide_no_nan(square, product(direction, image))
        solution, residual = solution + size * direction, residual - size * image
        scaled = residual / diagonal
        following = product(residual, scaled)
        direction = scaled + tf.math.divide_no_nan(following, square) * direction
        return solution, residual, direction, following

    solution, *_ = tf.while_loop(
        lambda *state: tf.reduce_any(state[-1] > enough),
        step,
        (tf.zeros_like(right), right, scaled, product(right, scaled)),
        maximum_iterations=MOST_ITERATIONS,
    )
    return solution
