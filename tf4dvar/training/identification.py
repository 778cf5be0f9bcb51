"""Identifying the prior from states."""

import keras
import numpy as np

from tf4dvar.models import FourDVarNet
from tf4dvar.training.divergence_guard import DivergenceGuard

LEARNING_RATE = 1e-3
BATCH = 32


def identify_prior(model: FourDVarNet, truth: np.ndarray, epochs: int) -> list[float]:
    """Fit Phi alone to true states, then freeze it (supervised identification, Section 3.4).

    The loss is the mean of (x - Phi(x))^2 in normalised units: for a flow the error of its
    one-step forecast, for a GENN that of predicting a state from its neighbours. Of several priors
    each that has something to learn is fitted by itself.

    Args:
        model: an adapted model; its priors are trained in place, nothing else of it is.
        truth: true states, [window, time, component], physical units.
        epochs: number of epochs over them.

    Returns:
        The loss of every epoch, the sum of those of the priors.
    """
    states = model.normalisation(truth.astype("float32")).numpy()
    priors = model.cost_gradient.cost.priors  # in normalised units
    learning = [prior for prior in priors if prior.trainable_variables]
    losses = [_identify(prior, states, epochs) for prior in learning]
    for prior in model.priors:
        prior.trainable = False
    return [sum(each) for each in zip(*losses, strict=True)]


def _identify(prior, states, epochs):
    """Fit a prior to states, both normalised; the loss of every epoch."""
    alone = keras.Sequential([prior])
    alone.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0), "mse")
    history = alone.fit(
        states,
        states,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[DivergenceGuard()],
        verbose=2,
    )
    return history.history["loss"]
