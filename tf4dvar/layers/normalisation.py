"""Between physical and normalised units."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers.adjoint import with_adjoint
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import Prior, trait
from tf4dvar.layers.precise_layer import PreciseLayer, check_precise
from tf4dvar.systems.axes import axes_but


class Moments:
    """Number, mean and squared departures from it of each component, added up batch by batch.

    By the formulas of Chan, Golub and LeVeque (1979), which lose no digits to a large mean.

    Attributes:
        count, mean, squares: [component]; squares are summed.
    """

    def __init__(self):
        self.count = self.mean = self.squares = np.zeros(1)

    def add(self, values: np.ndarray) -> "Moments":
        """Add the finite ones of [window, time, *space, variable]."""
        values = np.ma.filled(np.ma.asarray(values, "float64"), np.nan)
        known, every = np.isfinite(values), axes_but(-1, values)
        count = known.sum(every)
        mean = np.where(known, values, 0.0).sum(every) / np.maximum(count, 1)
        squares = (np.where(known, values - mean, 0.0) ** 2).sum(every)
        total = self.count + count
        share = count / np.maximum(total, 1)
        departure = mean - self.mean
        self.squares = self.squares + squares + departure**2 * self.count * share
        self.mean = self.mean + departure * share
        self.count = total
        return self


@keras.saving.register_keras_serializable(package="tf4dvar")
class Normalisation(PreciseLayer):
    """Mean and deviation of each component, kept as weights.

    `adapt` fits them to observations. A component that is never observed says nothing of its
    own scale: it takes the mean 0 and the pooled deviation of the observed ones. The solver
    learns what else there is to know about it.

    Call arguments:
        state: [batch, time, *space, variable], physical units, NaN allowed.

    Returns:
        Same shape, normalised; NaN stays NaN.
    """

    def build(self, input_shape):
        """Create the mean, 0, and the deviation, 1."""
        shape = (input_shape[-1],)
        # Not cast: `inverse` is called within layers of other policies.
        settings = {"shape": shape, "trainable": False, "autocast": False}
        self.mean = self.add_weight(initializer="zeros", name="mean", **settings)
        self.std = self.add_weight(initializer="ones", name="std", **settings)

    def adapt(self, observations: "np.ndarray | Moments") -> None:
        """Fit mean and deviation to the observed values.

        Args:
            observations: [window, time, *space, variable], or what was added up of them.
        """
        if not isinstance(observations, Moments):
            observations = Moments().add(observations)
        count, mean, squares = observations.count, observations.mean, observations.squares
        if not self.built:
            self.build((None, None, len(mean)))
        if not count.any():
            raise ValueError("Received observations that are all NaN; expected some values.")
        variance = squares / np.maximum(count, 1)
        # A constant component has no scale of its own either; its mean may be off by rounding.
        varies = np.sqrt(variance) > np.finfo("float32").eps * np.abs(mean)
        pooled = np.sqrt(squares[varies].sum() / count.sum()) or 1.0
        self.mean.assign(mean)
        self.std.assign(np.where(varies, np.sqrt(variance), pooled))

    def call(self, state):
        """(state - mean) / deviation."""
        return by_component(lambda x, mean, dev: (x - mean) / dev, state, self.mean, self.std)

    def inverse(self, state):
        """The inverse: a normalised state in physical units."""
        return by_component(lambda x, mean, dev: mean + x * dev, state, self.mean, self.std)


@keras.saving.register_keras_serializable(package="tf4dvar")
class NormalisedPrior(PreciseLayer, Prior):
    """A prior of physical units as a prior of normalised ones.

    Args:
        prior: Phi in physical units.
        normalisation: the normalisation between the two.

    Call arguments:
        state: [batch, time, *space, variable], normalised.
        covariates: of a prior that takes some, [batch, time, covariate], as the user gives them.

    Returns:
        Same shape, normalised.
    """

    def __init__(self, prior: keras.layers.Layer, normalisation: Normalisation, **kwargs):
        super().__init__(**kwargs)
        check_precise(prior)
        self.prior = prior
        self.normalisation = normalisation
        self.covariates = trait(prior, Prior, "covariates")

    def build(self, input_shape):
        """Build the normalisation and the prior."""
        build_once(self.normalisation, input_shape)
        build_once(self.prior, input_shape)

    def call(self, state, covariates=None):
        """Phi between the two scalings."""
        given = () if covariates is None else (covariates,)
        return self.normalisation(self.prior(self.normalisation.inverse(state), *given))

    def with_adjoint(self, state, *covariates):
        """The prior and its adjoint in normalised units; see `tf4dvar.layers.adjoint`."""
        state = self.normalisation.inverse(state)
        prediction, adjoint = with_adjoint(self.prior, state, *covariates)
        deviation = self.normalisation.std

        def normalised_adjoint(residual):
            physical = adjoint(by_component(tf.divide, residual, deviation))
            return by_component(tf.multiply, physical, deviation)

        return self.normalisation(prediction), normalised_adjoint


def by_component(operation, state, *vectors):
    """An operation between states, [..., variable], and numbers of each component.

    As rows of whole windows: TensorFlow takes several times as long over rows of a few numbers.
    """
    shape = tf.shape(state)
    along_time = [tf.tile(tf.convert_to_tensor(vector), shape[-2:-1]) for vector in vectors]
    rows = tf.reshape(state, (-1, shape[-2] * shape[-1]))
    return tf.reshape(operation(rows, *along_time), shape)
