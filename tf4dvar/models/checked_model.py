"""A Keras model that looks at the user's arrays before it works on them."""

import logging

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import (
    check_observations,
    check_truth,
    warn_of_fill_values,
    warn_of_swapped_components,
    warn_of_units,
)

logger = logging.getLogger(__name__)

# Windows that a look at the prior's predictions takes.
LOOK = 32
# In deviations of a component's scaling. States of Lorenz-63 stay within seven, also where they are
# never observed; the window of 2000 on which a trained solver diverged went to 69.
FAR = 20.0


class CheckedModel(keras.Model):
    """The part of `FourDVarNet` that answers a newcomer's mistakes; see `tf4dvar.data.checks`.

    Only arrays are looked at, not pipelines and tensors.

    Attributes:
        farthest: number, in the last training batch, of the window whose state was the farthest
            from 0, one that is not finite before all others.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        # TensorFlow's own variable: it is no part of the model that is saved.
        self.farthest = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def fit(self, x=None, y=None, *args, **kwargs):
        """As of `keras.Model`, after a look at the observations and the truth."""
        observations = self._look_at(x)
        if observations is not None and isinstance(y, np.ndarray):
            check_truth(observations, y, same_components=self.operator is None)
            if self.operator is None:
                warn_of_swapped_components(observations, y)
            self._warn_of_time_step(y)
        if self.built and self.compiled and self.optimizer is not None:
            # Else its variables are made while the step is traced, which is then traced twice.
            self.optimizer.build(self.trainable_variables)
        return super().fit(x, y, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As of `keras.Model`, with a look at the observations, and at the states."""
        observations = self._look_at(x)
        if observations is not None:
            warn_of_fill_values(observations)
        states = super().predict(x, *args, **kwargs)
        self._look_at_states(states)
        return states

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """As of `keras.Model`; notes which window's state is the farthest."""
        size = tf.where(tf.math.is_finite(y_pred), tf.abs(y_pred), np.inf)
        self.farthest.assign(tf.argmax(tf.reduce_max(size, axis=(1, 2))))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _look_at(self, inputs):
        """The observations among the inputs, where they are an array."""
        observations = inputs[0] if isinstance(inputs, list | tuple) else inputs
        if not isinstance(observations, np.ndarray):
            return None
        if not self.built:
            self.build(observations.shape)
        check_observations(observations, self.observed_components)
        scaling = self.observation_scaling()
        warn_of_units(observations, scaling.mean.numpy(), scaling.deviation.numpy())
        return observations

    def _look_at_states(self, states):
        """Warn of windows on which the solver diverges."""
        finite = np.isfinite(states).all(axis=(1, 2))
        reach = FAR * self.scaling.deviation.numpy()
        near = (np.abs(states - self.scaling.mean.numpy()) <= reach).all(axis=(1, 2))
        far = f"farther than {FAR:g} deviations from the mean of the model's scaling"
        for astray, where in ((~finite, "not finite"), (finite & ~near, far)):
            if astray.any():
                logger.warning(
                    "The states of %d of %d windows are %s, the first of them number %d: the "
                    "solver diverges there. Look at the values and units of the observations and "
                    "the prior's time step, or train further. Components that are never observed "
                    "have the scale of the others unless `adapt` is given true states.",
                    astray.sum(),
                    len(states),
                    where,
                    astray.argmax(),
                )

    def _warn_of_time_step(self, truth):
        """Warn where known dynamics predict worse than that nothing changes."""
        truth = truth[np.isfinite(truth).all(axis=(1, 2))][:LOOK]
        if not (getattr(self.prior, "physical_units", False) and truth.size):
            return
        error = np.square(self.prior_prediction(truth) - truth)[:, 1:].mean()
        change = np.square(np.diff(truth, axis=1)).mean()
        if not error <= 2 * change:  # NaN counts as an error too
            logger.warning(
                "The prior predicts true states one step ahead with a mean squared error of %.3g, "
                "worse than that nothing changes, %.3g. Its time step, %s, should be the time "
                "between two states, in the unit of time of its ODE.",
                error,
                change,
                getattr(self.prior, "time_step", "unknown"),
            )
