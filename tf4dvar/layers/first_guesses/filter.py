"""A first guess learned as a filter: a forecast, a correction, and so on."""

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once, check_series
from tf4dvar.layers.contracts import FirstGuess, trait


@keras.saving.register_keras_serializable(package="tf4dvar")
class FilterFirstGuess(FirstGuess):
    """First guess by a filter whose analysis is learned.

    A state is forecast from time to time by the model's own prior, and where something is observed
    a network corrects the forecast, without an ensemble (as in Bocquet et al. 2024,
    doi:10.1063/5.0230837):

        f_t = Phi(x_{t-1}),  x_t = f_t + s_t network((y_t - f_t) / s_t, weights, f_t)

    with s_t the mean deviation of the noise of what is observed, of which corrections are some
    share; 1 for a network that is not told it. No state depends on what is observed later. Trained
    on the squared error the network tends to the best correction of forecasts of its own. It takes
    any window length.

    Args:
        network: of single times, a layer of the contract `FirstGuess` that takes a background, with
            one output.

    Call arguments:
        observations: [batch, time, component], normalised, 0 where not observed.
        mask: same shape, weights, or as the network takes it.
        background: same shape, normalised; its first time is the first forecast. By default the
            mean.
        prior: a flow of normalised states, by its name; without one the forecast is the state as
            it was.

    Returns:
        The first guess x0, shaped as the observations.

    Usage:

        network = PeriodicFirstGuess(1, weighted=True, background=True)
        model = FourDVarNet(
            RK4Flow(Lorenz96ODE(trainable=False), 0.05),
            GradientSolver(LSTMCell(), iterations=0),
            first_guess=FilterFirstGuess(network),
        )
    """

    background = True
    forecasts = True

    def __init__(self, network: keras.layers.Layer, **kwargs):
        super().__init__(**kwargs)
        background, outputs = (
            trait(network, FirstGuess, name) for name in ("background", "outputs")
        )
        if not background or outputs != 1:
            raise InputError(
                f"Received a network with background={background} and outputs={outputs}; expected "
                "one that takes the forecast as its background, with one output, for example "
                "PeriodicFirstGuess(1, weighted=True, background=True)."
            )
        self.network = network
        self.weighted = trait(network, FirstGuess, "weighted")
        # XLA does not compile the gradient of a loop of any length.
        self.supports_jit = False

    def build(self, observations_shape, *_):
        """Build the network."""
        check_series(self, observations_shape)
        build_once(self.network, observations_shape, call=self._first_correction)

    def call(self, observations, mask, background=None, *, prior=None):
        """Through the window, time by time."""
        observations, mask = (tf.transpose(each, (1, 0, 2)) for each in (observations, mask))
        steps = tf.shape(observations)[0]
        start = tf.zeros_like(observations[0]) if background is None else background[:, 0]

        def analysed(time, forecast):
            """The forecast, corrected in the windows in which something is observed."""
            weights = mask[time]
            observed = tf.reduce_any(weights > 0, axis=-1, keepdims=True)

            def corrected():
                scale = self._scale(weights)
                departures = tf.where(weights > 0, observations[time] - forecast, 0.0) / scale
                given = (each[:, tf.newaxis] for each in (departures, weights, forecast))
                correction = scale * tf.cast(self.network(*given)[:, 0], forecast.dtype)
                return forecast + tf.where(observed, correction, tf.zeros_like(correction))

            return tf.cond(tf.reduce_any(observed), corrected, lambda: tf.identity(forecast))

        def step(time, state, states):
            # A flow tells of every time from the one before.
            twice = tf.stack([state, state], axis=1)
            state = analysed(time, state if prior is None else prior(twice)[:, 1])
            return time + 1, state, states.write(time, state)

        state = analysed(0, start)
        states = tf.TensorArray(state.dtype, steps, element_shape=state.shape).write(0, state)
        *_, states = tf.while_loop(lambda time, *_: time < steps, step, (1, state, states))
        return tf.transpose(states.stack(), (1, 0, 2))

    def _scale(self, weights):
        """Mean deviation of the noise of what is observed at a time, [batch, 1]."""
        seen = tf.cast(weights > 0, weights.dtype)
        deviations = tf.math.divide_no_nan(seen, tf.sqrt(weights))
        number = tf.reduce_sum(seen, axis=-1, keepdims=True)
        mean = tf.reduce_sum(deviations, axis=-1, keepdims=True) / tf.maximum(number, 1)
        return tf.where(number > 0, mean, tf.ones_like(mean))

    def _first_correction(self, values):
        return self.network(values, values, values)
