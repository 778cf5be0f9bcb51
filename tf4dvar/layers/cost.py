"""The variational cost."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError, shown
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import ObservationOperator, trait
from tf4dvar.layers.precise_layer import PreciseLayer
from tf4dvar.layers.several_priors import priors_of, residuals_of, with_covariates
from tf4dvar.layers.windows import at_sea, window_mean, window_sum


def variational_cost(departure, residuals, mask, sources, weights, factors=None, sea=None):
    """U_Phi of every window, [batch] (eq. 4, its terms averaged); see `VariationalCost`.

    Args:
        departure: H(x) - y, [batch, time, *space, observed].
        residuals: x - Phi(x) of each prior, [batch, time, *space, variable].
        mask: as for `VariationalCost`.
        sources: how many of the observed belong to each source.
        weights: lambda_1 of each source, then lambda_2 of each prior.
        factors: of the squares, of a shape that goes with them; the means' own weights stay.
        sea: as for `VariationalCost`; the residuals are 0 on land.
    """
    squares, *prior_squares = [tf.square(each) for each in (departure, *residuals)]
    if factors is not None:
        squares, *prior_squares = [factors * each for each in (squares, *prior_squares)]
    means = [
        tf.math.divide_no_nan(window_sum(each * among), window_sum(among))
        for each, among in zip(by_source(squares, sources), by_source(mask, sources), strict=True)
    ]
    means += [window_mean(each, sea=sea) for each in prior_squares]
    return tf.add_n([weight * mean for weight, mean in zip(weights, means, strict=True)])


def sources_of(operator: keras.layers.Layer | None, observed: int) -> tuple[int, ...]:
    """How many of the observed belong to each source.

    Args:
        operator: H, or None where the state itself is observed.
        observed: number of them all.
    """
    stated = None if operator is None else trait(operator, ObservationOperator, "sources")
    return (observed,) if stated is None else tuple(stated)


def one_for_each(name: str, weight: float | Sequence[float], terms: int) -> list[float]:
    """The weights of several terms of the cost.

    Args:
        name: of the weight.
        weight: one number for all terms, or one for each.
        terms: how many there are.

    Raises:
        InputError: they are not as many.
    """
    weights = np.array(weight, float)
    if weights.ndim > 1 or weights.size not in (1, terms):
        raise InputError(
            f"Received {name}={shown(weight)}; expected one number for all, or {terms} of them, "
            "one for each."
        )
    return np.broadcast_to(weights, terms).tolist()


def by_source(values, sources: Sequence[int]) -> list:
    """What belongs to each source.

    Args:
        values: [batch, time, *space, observed].
        sources: how many of the observed are of each.
    """
    return [values] if len(sources) == 1 else tf.split(values, sources, axis=-1)


@keras.saving.register_keras_serializable(package="tf4dvar")
class VariationalCost(PreciseLayer):
    """U_Phi(x, y, Omega), one number a window (eq. 4, its terms averaged).

        U = observation_weight * mean over Omega of (H(x) - y)^2
          + prior_weight * mean over all entries of (x - Phi(x))^2

    The paper observes the state itself, H(x) = x. Observations of several sources have a term
    and a weight for each, and so have several priors; entries of different noise a weighted mean.
    A window without observations has the priors' terms alone.

    Args:
        prior: Phi, a layer from [batch, time, *space, variable] to the same shape, or a list of
            them.
        observation_weight, prior_weight: lambda_1 and lambda_2, positive: one for all sources or
            priors, or one for each. They are kept as exponentials, so that learning leaves them
            positive.
        learn_weights: whether the weights are trained.
        operator: H, an `ObservationOperator` or another layer from [batch, time, *space, variable]
            to [batch, time, *space, observed], in the units of the state here. None: the state
            itself is observed.

    Call arguments:
        state: x, [batch, time, *space, variable].
        observations: y, [batch, time, *space, observed], in the units of H(x), 0 where not
            observed.
        mask: Omega, same shape: 0 where not observed, else 1, or the inverse of the variance of
            the noise, in any unit.
        covariates: of the priors that take some, [batch, time, covariate].
        sea: 1 at sea and 0 on land, which takes no part, [batch, 1, *space, 1]; None where there
            is no land. The priors see the state 0 there.

    Returns:
        The cost, [batch], in squared units of the state.
    """

    def __init__(
        self,
        prior: keras.layers.Layer | Sequence[keras.layers.Layer],
        observation_weight: float | Sequence[float] = 1.0,
        prior_weight: float | Sequence[float] = 1.0,
        learn_weights: bool = True,
        operator: keras.layers.Layer | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not all(np.all(np.array(each) > 0) for each in (observation_weight, prior_weight)):
            raise ValueError(
                f"Received observation_weight={observation_weight} and "
                f"prior_weight={prior_weight}; expected positive numbers."
            )
        one_for_each("prior_weight", prior_weight, len(priors_of(prior)))
        self.prior = prior
        self.observation_weight = np.array(observation_weight, float).tolist()
        self.prior_weight = np.array(prior_weight, float).tolist()
        self.learn_weights = learn_weights
        self.operator = operator

    @property
    def priors(self) -> list:
        """The priors in a list, one or several."""
        return priors_of(self.prior)

    def build(self, state_shape, *_):
        """Build the priors and the operator, and create the weights."""
        for prior in self.priors:
            build_once(prior, state_shape)
        if self.operator is not None:
            build_once(self.operator, state_shape)
        self.sources = sources_of(self.operator, state_shape[-1])
        weights = [
            *one_for_each("observation_weight", self.observation_weight, len(self.sources)),
            *one_for_each("prior_weight", self.prior_weight, len(self.priors)),
        ]
        self.log_weights = self.add_weight(
            shape=(len(weights),),
            initializer=keras.initializers.Constant(np.log(weights)),
            trainable=self.learn_weights,
            name="log_weights",
        )

    def call(self, state, observations, mask, covariates=None, sea=None):
        """The weighted terms of every window."""
        state = at_sea(state, sea)
        simulated = state if self.operator is None else self.operator(state)
        residuals = residuals_of(self.priors, state, covariates, sea)
        return self.value(simulated - observations, residuals, mask, sea)

    def value(self, departure, residuals, mask, sea=None):
        """The cost, [batch], of H(x) - y and all x - Phi(x); see `variational_cost`."""
        weights = self.current_weights()
        return variational_cost(departure, residuals, mask, self.sources, weights, sea=sea)

    def current_weights(self) -> list:
        """lambda_1 of each source, then lambda_2 of each prior."""
        return tf.unstack(tf.exp(tf.convert_to_tensor(self.log_weights)))

    def prediction(self, state, covariates=None):
        """Phi(x), of several priors the mean of their predictions, weighted by lambda_2.

        That is what their terms together draw the state to: while the predictions stay, the sum
        of lambda_2 (x - Phi(x))^2 is least there.

        Args:
            state, covariates: as for the call.
        """
        log_weights = tf.convert_to_tensor(self.log_weights)[len(self.sources) :]
        shares = tf.unstack(tf.nn.softmax(log_weights))  # a single one is exactly 1
        shared = zip(shares, with_covariates(self.priors, covariates), strict=True)
        return tf.add_n(
            [share * tf.cast(prior(state, *given), state.dtype) for share, (prior, given) in shared]
        )
