"""The loss of a model's training: the paper's or that of `compile`, and what layers add."""

import keras
import tensorflow as tf

from tf4dvar.models.losses import supervised_loss, unsupervised_loss


def training_loss(model, compiled, x, y, y_pred, sample_weight, training):
    """See `FourDVarNet.compute_loss`.

    Args:
        model: the `FourDVarNet`.
        compiled: the loss that `compile` was given, `loss(truth, state, weights)`, or None.
        x, y, y_pred, sample_weight, training: of `compute_loss`.
    """
    # Before the prior is called again, which would begin them anew.
    added = list(model.losses)
    state = model.scaling(y_pred)
    # Under a strategy Keras adds up what the replicas give, and has its own losses say less.
    replicas = tf.distribute.get_strategy().num_replicas_in_sync

    def prior(state):
        return tf.cast(model.normalised_prior(state, training=training), state.dtype)

    def error(truth, state, weights):
        return replicas * compiled(truth, state, weights)

    # What these calls would move or add has been, in the reconstruction.
    with keras.StatelessScope():
        if not model.needs_truth:
            x = keras.tree.map_structure(lambda values: tf.cast(values, state.dtype), x)
            values, weights = model.normalised_observations(x)
            observation_weight, prior_weight = model.loss_weights
            loss = unsupervised_loss(
                state,
                values,
                weights,
                prior,
                observation_weight,
                prior_weight,
                operator=model.operator,
                weights=sample_weight,
            )
        elif y is None:
            raise ValueError(
                "The supervised loss received no true states; give fit(observations, truth), "
                "or build the model with loss='unsupervised'."
            )
        else:
            truth_weight, state_weight = model.prior_loss_weights
            loss = supervised_loss(
                state,
                model.scaling(tf.cast(y, state.dtype)),
                prior,
                truth_weight,
                state_weight,
                weights=sample_weight,
                error=compiled and error,
            )
    for each in added:
        loss += tf.cast(tf.reduce_sum(each), loss.dtype)
    return loss / replicas
