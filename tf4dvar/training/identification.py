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
    one-step forecast, for a GENN that of predicting a state from its neighbours.

    Args:
        model: an adapted model; its prior is trained in place, nothing else of it is.
        truth: true states, [window, time, component], physical units.
        epochs: number of epochs over them.

    Returns:
        The loss of every epoch.
    """
    states = model.normalisation(truth.astype("float32")).numpy()
    prior = keras.Sequential([model.normalised_prior])
    prior.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0), "mse")
    history = prior.fit(
        states,
        states,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[DivergenceGuard()],
        verbose=2,
    )
    model.prior.trainable = False
    return history.history["loss"]
