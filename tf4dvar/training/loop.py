"""The training loop written out: what `model.fit` does, on one worker or on several."""

from collections.abc import Iterable, Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.models import FourDVarNet


def train_loop(
    model: FourDVarNet,
    dataset: tf.data.Dataset,
    epochs: int,
    steps_per_epoch: int,
    initial_epoch: int = 0,
    validation_data: tuple[np.ndarray, np.ndarray] | None = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    strategy: tf.distribute.Strategy | None = None,
) -> list[float]:
    """What `model.fit` does, written out: same weights, same losses, same logs for callbacks.

    With a strategy every worker calls this on its share of each batch. `fit` does not run under
    `MultiWorkerMirroredStrategy`; here its part is to average the gradients, before the optimiser
    clips them, so that the weights are those of one worker with the whole batches. The model is
    made outside of the strategy's scope, with the same weights on every worker: saved, restored
    and evaluated it is a model as any other.

    Args:
        model: a compiled model.
        dataset: endless batches of (observations, truth), or with sample weights, as `fit` takes
            them: this worker's shares, all of one size.
        epochs: number of epochs in all.
        steps_per_epoch: number of batches.
        initial_epoch: number of the epoch to begin with.
        validation_data: observations and truth, this worker's share of them.
        callbacks: of Keras; those on all workers have to decide alike.
        strategy: of the workers; none for one.

    Returns:
        The mean loss of every epoch.
    """
    # Its default strategy has one replica and nothing to average.
    strategy = strategy or tf.distribute.get_strategy()
    events = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps_per_epoch, verbose=2
    )
    step = _train_step(model, strategy)
    batches = iter(dataset)
    losses = []
    model.stop_training = False
    events.on_train_begin()
    for epoch in range(initial_epoch, epochs):
        model.reset_metrics()
        events.on_epoch_begin(epoch)
        total = 0.0
        for batch in range(steps_per_epoch):
            events.on_train_batch_begin(batch)
            loss = float(step(next(batches)))
            total += loss
            events.on_train_batch_end(batch, {"loss": loss})
        losses.append(total / steps_per_epoch)
        logs = _mean(strategy, {**model.get_metrics_result(), "loss": losses[-1]})
        if validation_data is not None:
            scores = model.evaluate(*validation_data, return_dict=True, verbose=0)
            scores = _mean(strategy, scores, weight=len(validation_data[0]))
            logs |= {f"val_{name}": value for name, value in scores.items()}
        events.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    events.on_train_end()
    return losses


def _train_step(model, strategy):
    weights, optimizer = model.trainable_variables, model.optimizer
    # Made in the step, its variables would have it traced twice.
    optimizer.build(weights)

    def share_step(batch):
        observations, truth, sample_weight = keras.utils.unpack_x_y_sample_weight(batch)
        with tf.GradientTape() as tape:
            state = model(observations, training=True)
            loss = model.compute_loss(observations, truth, state, sample_weight)
            scaled = optimizer.scale_loss(loss)  # in half precision, where it would vanish
        gradients = tape.gradient(scaled, weights)
        model.compute_metrics(observations, truth, state, sample_weight)
        # The loss is that of the worker's share of the windows already.
        return _all_reduce("SUM", [loss, *gradients])

    @tf.function
    def step(batch):
        loss, *gradients = strategy.run(share_step, args=(batch,))
        optimizer.apply(gradients, weights)
        return loss

    return step


def _all_reduce(how: str, values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    return tf.distribute.get_replica_context().all_reduce(how, values)


@tf.function
def average(strategy: tf.distribute.Strategy, values: tf.Tensor) -> tf.Tensor:
    """The mean over the workers; returns when every worker has called this.

    Args:
        strategy: of the workers.
        values: this worker's.
    """
    # A copy, which has a device.
    return strategy.run(lambda: _all_reduce("MEAN", [tf.identity(values)]))[0]


def _mean(strategy, scores, weight=1.0):
    """The mean over the workers of scores by name, each worker's counted with its weight."""
    values = tf.constant([1.0, *(float(score) for score in scores.values())]) * weight
    total, *sums = average(strategy, values).numpy()
    return {name: float(value / total) for name, value in zip(scores, sums, strict=True)}
