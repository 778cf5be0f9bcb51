"""The two training losses of the paper, given to `compile`; what layers and Keras add to them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import ClassVar

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.cost import one_for_each, sources_of, variational_cost
from tf4dvar.layers.several_priors import residuals_of
from tf4dvar.layers.windows import at_sea
from tf4dvar.models.inputs import by_name, sea_of


@dataclass(frozen=True)
class TrainingLoss:
    """A loss of the reconstruction in normalised units, which knows the model.

    Traits:
        needs_truth: whether it asks for true states.
    """

    needs_truth: ClassVar[bool]

    def __call__(self, model, inputs, truth, state, residuals, weights):
        """The loss, a number.

        Args:
            model: the `FourDVarNet`.
            inputs: as for the call of the model.
            truth: true states, physical units, or None.
            state: the reconstruction, [batch, time, component], normalised.
            residuals: a function of a normalised state, x - Phi(x) of each prior in a list, 0 on
                land.
            weights: Keras' sample weights: of every window, [batch]; or [batch, time]; or
                [batch, time, component]; or None.
        """
        raise NotImplementedError

    def get_config(self):
        """The settings."""
        return asdict(self)

    @classmethod
    def from_config(cls, config):
        """The loss of these settings."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="tf4dvar")
@dataclass(frozen=True)
class SupervisedLoss(TrainingLoss):
    """Mean squared error of the reconstruction (eq. 14, averaged), with optional prior terms.

        mean (state - truth)^2 + truth_weight * mean (truth - Phi(truth))^2
                               + state_weight * mean (state - Phi(state))^2

    Several priors have such terms each.

    The paper's published code (github.com/CIA-Oceanix/DinAE_4DVarNN_torch) adds both terms, each
    with weight 0.05: the error alone does not ask Phi to predict. A truth that is NaN is not
    known: it does not count, and Phi sees the reconstruction in its place. Sample weights multiply
    the squares.

    A loss of Keras given to `compile` takes the place of the mean squared error, without prior
    terms. It sees an entry that is not known as equal to the reconstruction, and what it gives is
    divided by the share of the entries that are known; it takes no weights of single components.

    Args:
        truth_weight, state_weight: of the prior terms.

    Usage:

        model = FourDVarNet(GENN(), GradientSolver(LSTMCell()))
        model.compile("adam", SupervisedLoss(truth_weight=0.05, state_weight=0.05))
    """

    truth_weight: float = 0.0
    state_weight: float = 0.0

    needs_truth = True

    def __call__(self, model, inputs, truth, state, residuals, weights):
        """See `TrainingLoss`."""
        if truth is None:
            raise ValueError(
                "The supervised loss received no true states; give fit(observations, truth), "
                "or compile(loss=UnsupervisedLoss())."
            )
        truth = model.normalisation(tf.cast(truth, state.dtype))
        sea = sea_of(by_name(inputs), state.dtype)
        known = tf.math.is_finite(truth)
        known = known if sea is None else known & (sea > 0)
        truth = tf.where(known, truth, state)
        entries = by_entry(weights, state)
        if model.keras_loss is None:
            loss = _mean_where(known, tf.square(state - truth), entries)
        else:
            share = tf.reduce_mean(tf.cast(known, state.dtype))
            by_time = None if weights is None else _by_time(weights, entries)
            # Under a strategy it says less; see `loss_of`.
            error = _replicas() * model.keras_loss(truth, state, by_time)
            loss = tf.math.divide_no_nan(error, share)
        if self.truth_weight:
            for residual in residuals(truth):
                loss += self.truth_weight * _mean_where(known, tf.square(residual), entries)
        if self.state_weight:
            for residual in residuals(state):
                squares = entries * tf.square(residual)
                if sea is None:
                    loss += self.state_weight * tf.reduce_mean(squares)
                else:
                    at_sea_alone = tf.broadcast_to(sea, tf.shape(state))
                    loss += self.state_weight * _mean_where(at_sea_alone, squares, 1.0)
        return loss


@keras.saving.register_keras_serializable(package="tf4dvar")
@dataclass(frozen=True)
class UnsupervisedLoss(TrainingLoss):
    """Variational cost of the reconstruction under fixed weights (eq. 13, averaged).

    The weights are not those of the solver's cost: those are learned, and would shrink to
    nothing if they were to be their own judge. Sample weights multiply the squares of both terms;
    with an operator, whose observations are no entries of the state, they are not of single
    components.

    Args:
        observation_weight, prior_weight: lambda_1 and lambda_2, one for all sources or priors,
            or one for each.

    Usage:

        model = FourDVarNet(GENN(), GradientSolver(LSTMCell()))
        model.compile("adam", UnsupervisedLoss(observation_weight=1.0, prior_weight=100.0))
    """

    observation_weight: float | Sequence[float] = 0.01
    prior_weight: float | Sequence[float] = 1.0

    needs_truth = False

    def __call__(self, model, inputs, truth, state, residuals, weights):
        """See `TrainingLoss`."""
        inputs = {name: tf.cast(values, state.dtype) for name, values in by_name(inputs).items()}
        observations, mask = model.normalised_observations(inputs)
        operator = model.operator
        simulated = state if operator is None else operator(state)
        entries = by_entry(weights, state)
        if operator is not None:
            _by_time(weights, entries)
        sources = sources_of(operator, simulated.shape[-1])
        departure, of_priors = simulated - observations, residuals(state)
        lambdas = [
            *one_for_each("observation_weight", self.observation_weight, len(sources)),
            *one_for_each("prior_weight", self.prior_weight, len(of_priors)),
        ]
        sea = sea_of(inputs, state.dtype)
        return tf.reduce_mean(
            variational_cost(departure, of_priors, mask, sources, lambdas, entries, sea)
        )


def loss_of(model, inputs, truth, y_pred, weights, training):
    """See `FourDVarNet.compute_loss`: the training loss, and what layers add.

    Args:
        model: the `FourDVarNet`.
        inputs, truth, weights: see `TrainingLoss`.
        y_pred, training: of `compute_loss`.
    """
    # Before the priors are called again, which would begin them anew.
    added = list(model.losses)
    state = model.normalisation(y_pred)
    sea = sea_of(by_name(inputs), state.dtype)
    state = at_sea(state, sea)
    priors = model.cost_gradient.cost.priors
    covariates = next(iter(model.prior_covariates(by_name(inputs))), None)

    def residuals(state):
        return residuals_of(priors, state, covariates, sea, training=training)

    # What these calls would move or add has been, in the reconstruction.
    with keras.StatelessScope():
        loss = model.training_loss(model, inputs, truth, state, residuals, weights)
        if model.uncertainty is not None:
            loss += model.likelihood_loss(inputs, truth, state)
    for each in added:
        loss += tf.cast(tf.reduce_sum(each), loss.dtype)
    # Under a strategy Keras adds up what the replicas give, and has its own losses say less.
    return loss / _replicas()


def _replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


def _mean_where(known, values, weights):
    known = tf.cast(known, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * known * weights), tf.reduce_sum(known))


def _by_time(weights, entries):
    """The weights as [batch, time or 1], refused where they are those of single components."""
    if entries.shape[-1] != 1:
        raise InputError(
            f"Received sample weights of shape {tuple(weights.shape)}; with a loss given to "
            "`compile`, and with the unsupervised loss of an observation operator, expected "
            "[window] or [window, time]."
        )
    return entries[..., 0]


def by_entry(weights, state):
    """Keras' sample weights as factors of the entries of a state.

    Args:
        weights: of every window, [batch]; or [batch, time]; or of every entry; or None.
        state: [batch, time, *space, component].

    Returns:
        A tensor that goes with the state, its axes of the same sizes or 1.
    """
    rank = len(state.shape)
    if weights is None:
        return tf.ones((1,) * rank, state.dtype)
    weights = tf.cast(weights, state.dtype)
    if len(weights.shape) not in (1, 2, rank):
        raise InputError(
            f"Received sample weights of shape {tuple(weights.shape)}; expected [window], "
            "[window, time] or one for each entry of the state."
        )
    for _ in range(rank - len(weights.shape)):
        weights = weights[..., tf.newaxis]
    return weights
