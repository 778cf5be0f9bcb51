"""Identifying the prior from states."""

import math

import keras
import numpy as np
import tensorflow as tf
from scipy.optimize import least_squares

from tf4dvar.layers import NormalisedPrior, OneStepFlow
from tf4dvar.models import FourDVarNet
from tf4dvar.training.divergence_guard import DivergenceGuard

# At the beginning; it falls to zero as half a cosine.
LEARNING_RATE = 1e-3
BATCH = 32
# Coefficients of a flow up to which derivatives by each of them are cheap, and entries of all of
# these together: 128 MiB.
COEFFICIENTS, DERIVATIVES = 400, 2**24


def identify_prior(model: FourDVarNet, truth: np.ndarray, epochs: int) -> list[list[float]]:
    """Fit Phi alone to true states, then freeze it (supervised identification, Section 3.4).

    The loss is the mean of (x - Phi(x))^2 in normalised units: for a flow the error of its
    one-step forecast, for a GENN that of predicting a state from its neighbours. Of several priors
    each that has something to learn is fitted by itself.

    A flow of few coefficients is fitted by least squares: those of `BilinearODE` differ by orders
    of magnitude, of which Adam would have to go through each at its own small step.

    Args:
        model: an adapted model; its priors are trained in place, nothing else of it is.
        truth: true states, [window, time, component], physical units.
        epochs: number of epochs over them, of least squares at most so many evaluations.

    Returns:
        Of each prior that learned the loss of every epoch, of least squares before and after.
    """
    states = model.normalisation(truth.astype("float32")).numpy()
    priors = model.cost_gradient.cost.priors  # in normalised units
    learning = [prior for prior in priors if prior.trainable_variables]
    losses = [
        (_fit_coefficients if _has_few_coefficients(prior) else _fit)(prior, states, epochs)
        for prior in learning
    ]
    for prior in model.priors:
        prior.trainable = False
    return losses


def _fit(prior, states, epochs):
    """Fit a prior to states, both normalised; the loss of every epoch."""
    alone = keras.Sequential([prior])
    alone.compile(keras.optimizers.Adam(LEARNING_RATE, clipnorm=1.0), "mse")
    falling = keras.callbacks.LearningRateScheduler(
        lambda epoch: LEARNING_RATE * (1 + math.cos(math.pi * epoch / epochs)) / 2
    )
    history = alone.fit(
        states,
        states,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[falling, DivergenceGuard()],
        verbose=2,
    )
    return history.history["loss"]


def _has_few_coefficients(prior):
    is_flow = isinstance(prior, NormalisedPrior) and isinstance(prior.prior, OneStepFlow)
    return is_flow and _size(prior.trainable_variables) <= COEFFICIENTS


def _fit_coefficients(prior, states, evaluations):
    """Fit a flow to states by least squares; the loss before and after."""
    weights = [weight.value for weight in prior.trainable_variables]
    number = _size(weights)
    windows = max(1, DERIVATIVES // (number * math.prod(states.shape[1:])))
    states = tf.constant(states[:windows])
    ends = np.cumsum([_size([weight]) for weight in weights])[:-1]

    def parts(vector):
        """One for each weight."""
        split = zip(np.split(vector, ends), weights, strict=True)
        return [tf.constant(part.reshape(like.shape), like.dtype) for part, like in split]

    def errors():
        return tf.reshape(prior(states) - states, [-1])

    compiled = tf.function(errors)

    @tf.function
    def derivative(direction):
        with tf.autodiff.ForwardAccumulator(weights, direction) as accumulator:
            found = errors()
        return accumulator.jvp(found)

    def assign(vector):
        for weight, part in zip(weights, parts(vector), strict=True):
            weight.assign(part)

    def errors_at(vector):
        assign(vector)
        return compiled().numpy().astype("float64")

    def derivatives_at(vector):
        assign(vector)
        return np.stack([derivative(parts(of)).numpy() for of in np.eye(number)], axis=1)

    start = np.concatenate([weight.numpy().ravel() for weight in weights]).astype("float64")
    before = errors_at(start)
    found = least_squares(errors_at, start, derivatives_at, x_scale="jac", max_nfev=evaluations)
    after = errors_at(found.x)
    return [float(np.square(each).mean()) for each in (before, after)]


def _size(weights):
    return sum(math.prod(weight.shape) for weight in weights)
