"""A training loop to read and adapt."""

import tensorflow as tf

from tf4dvar.models import FourDVarNet


def train_loop(
    model: FourDVarNet, dataset: tf.data.Dataset, epochs: int, steps_per_epoch: int
) -> list[float]:
    """What `model.fit` does, written out: same weights, same losses.

    Training on several workers starts from here, since `fit` does not run under
    `tf.distribute.MultiWorkerMirroredStrategy`.

    Args:
        model: a compiled model.
        dataset: endless (observations, truth) batches.
        epochs, steps_per_epoch: how long to train.

    Returns:
        The mean loss of every epoch.
    """
    optimizer = model.optimizer
    batches = iter(dataset)

    @tf.function
    def train_step(observations, truth):
        with tf.GradientTape() as tape:
            state = model(observations, training=True)
            loss = model.compute_loss(observations, truth, state)
        weights = model.trainable_variables
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    losses = []
    for _ in range(epochs):
        total = tf.add_n([train_step(*next(batches)) for _ in range(steps_per_epoch)])
        losses.append(float(total) / steps_per_epoch)
    return losses
