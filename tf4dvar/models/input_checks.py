"""A Keras model that looks at the user's arrays before it works on them."""

import logging
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import (
    Signature,
    as_array,
    check_observations,
    check_truth,
    warn_of_fill_values,
    warn_of_full_observation,
    warn_of_scale,
    warn_of_swapped_components,
    warn_of_units,
)
from tf4dvar.errors import InputError, shown
from tf4dvar.layers.contracts import Prior, trait
from tf4dvar.layers.normalisation import Moments
from tf4dvar.layers.several_priors import with_covariates
from tf4dvar.layers.windows import at_sea
from tf4dvar.models.inputs import as_arrays, by_name, observations_of, sea_of, without_land
from tf4dvar.models.known_metric import over_known
from tf4dvar.models.labelled import arranged, arranged_truth
from tf4dvar.models.losses import SupervisedLoss, TrainingLoss
from tf4dvar.models.state_checks import suspect_windows, warn_of_divergence, warn_of_misfit
from tf4dvar.systems.axes import axes_but

logger = logging.getLogger(__name__)

# Windows that a look at the prior's predictions takes.
LOOK = 32


class CheckedModel(keras.Model):
    """The part of `FourDVarNet` that answers a newcomer's mistakes; see `tf4dvar.data.checks`.

    Arrays are looked at, of every library; pipelines are not, but for `adapt`.

    Attributes:
        training_loss: a `TrainingLoss`, that of `compile`.
        farthest: number, in the last training batch, of the window whose state was the farthest
            from 0, one that is not finite before all others.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.training_loss = SupervisedLoss()
        self._signature: Signature | None = None
        # TensorFlow's own variable: it is no part of the model that is saved.
        self.farthest = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def adapt(
        self, observations: np.ndarray | tf.data.Dataset, truth: np.ndarray | None = None
    ) -> None:
        """Fit the normalisation to training windows; see `Normalisation`.

        Args:
            observations: [window, time, component]. Or a pipeline of batches of them, or of
                (observations, truth), which is read once, batch by batch.
            truth: states, [window, time, component], for the normalisation of the state. An
                observation operator needs them: true ones, or others of the same climate. Where
                the state itself is observed its normalisation is that of the observations by
                default.

        What lies on land, where the inputs tell of it, does not count.
        """
        # Arrays tell nothing of what they are.
        self.signature = None
        if not isinstance(observations, tf.data.Dataset):
            given = (observations,) if truth is None else (observations, truth)
            batches = [
                as_arrays(each) if isinstance(each, dict) else np.asarray(as_array(each))
                for each in given
            ]
            batches = [tuple(batches)]
        elif observations.cardinality() == tf.data.INFINITE_CARDINALITY:
            raise InputError("Received an endless pipeline; give `adapt` pipeline.take(batches).")
        else:
            batches = observations
        seen, states, complete = Moments(), None, True
        for number, batch in enumerate(batches):
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            values = without_land(as_array(observations_of(x)), x)
            self._build_for(values)
            check_observations(values, self.observed_components, len(self.observations_shape))
            if number == 0:
                warn_of_fill_values(values)
            complete = complete and not np.isnan(values).any()
            seen.add(values)
            if y is not None:
                states = (states or Moments()).add(without_land(as_array(y), x))
        if not seen.count.any():
            raise InputError("Received no observations, or none but NaN; expected some values.")
        if self.operator is None:
            if complete:
                warn_of_full_observation(values)
            self.normalisation.adapt(states or seen)
            return
        if states is None:
            raise ValueError(
                "The observations of an operator do not tell the scale of the state; "
                "give adapt(observations, truth), with true states or others of their climate."
            )
        self.operator.observation_normalisation.adapt(seen)
        self.normalisation.adapt(states)

    @property
    def signature(self) -> Signature | None:
        """What the model was trained on; None where that was told by plain arrays.

        Labelled data are checked by it and put in its order; see `tf4dvar.data.Signature`.
        """
        return self._signature

    @signature.setter
    def signature(self, value: Signature | None) -> None:
        if not isinstance(value, Signature | None):
            raise InputError(f"Received signature={shown(value)}; expected a Signature, or None.")
        self._signature = value

    @property
    def keras_loss(self) -> Callable | None:
        """The loss of Keras that `compile` was given, if it was."""
        return self._compile_loss

    def compile(
        self,
        optimizer="rmsprop",
        loss=None,
        loss_weights=None,
        metrics=None,
        weighted_metrics=None,
        **kwargs,
    ):
        """As of `keras.Model`.

        The loss is `SupervisedLoss` by default, or `UnsupervisedLoss`, which asks for no truth; or
        one of Keras, which takes the place of the former's mean squared error. Keras' metrics of
        single entries, for example "mae", leave out truth that is NaN; one of the user's own sees
        it.
        """
        own = isinstance(loss, TrainingLoss)
        self.training_loss = loss if own else SupervisedLoss()
        super().compile(
            optimizer,
            None if own else loss,
            loss_weights,
            over_known(metrics),
            over_known(weighted_metrics),
            **kwargs,
        )

    def get_compile_config(self):
        """As of `keras.Model`, which is not told of the losses of this package."""
        config = super().get_compile_config()
        if config and self.keras_loss is None:
            config["loss"] = keras.saving.serialize_keras_object(self.training_loss)
        return config

    def compile_from_config(self, config):
        """As of `keras.Model`, which leaves it to those that have a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.built and self.optimizer is not None:
            self.optimizer.build(self.trainable_variables)

    def fit(self, x=None, y=None, *args, sample_weight=None, validation_data=None, **kwargs):
        """As of `keras.Model`, after a look at the observations and the truth."""
        x, y, sample_weight = self._received(x, y, sample_weight)
        if isinstance(validation_data, list | tuple):
            received = self._received(*validation_data)
            validation_data = tuple(each for each in received if each is not None)
        if isinstance(y, np.ndarray):
            self._warn_of_time_step(y, self.prior_covariates(by_name(x)))
        if self.built and self.compiled and self.optimizer is not None:
            # Else its variables are made while the step is traced, which is then traced twice.
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)
        return super().fit(
            x, y, *args, sample_weight=sample_weight, validation_data=validation_data, **kwargs
        )

    def evaluate(self, x=None, y=None, *args, sample_weight=None, **kwargs):
        """As of `keras.Model`, after a look at the observations and the truth."""
        if not kwargs.get("_use_cached_eval_dataset"):  # `fit` has looked at its validation data
            x, y, sample_weight = self._received(x, y, sample_weight)
        return super().evaluate(x, y, *args, sample_weight=sample_weight, **kwargs)

    def predict(self, x, *args, **kwargs):
        """As of `keras.Model`, with a look at the observations, and at the states."""
        x, restored = arranged(self, x)
        observations = self._look_at(x)
        if observations is not None:
            warn_of_fill_values(observations)
        states = super().predict(x, *args, **kwargs)
        warn_of_divergence(states, self.normalisation, x)
        if observations is not None:
            warn_of_misfit(suspect_windows(self, by_name(x), states))
        return restored(states)

    def train_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """As of `keras.Model`, for arrays of every kind."""
        return super().train_on_batch(*self._converted(x, y, sample_weight), **kwargs)

    def test_on_batch(self, x, y=None, sample_weight=None, **kwargs):
        """As of `keras.Model`, for arrays of every kind."""
        return super().test_on_batch(*self._converted(x, y, sample_weight), **kwargs)

    def predict_on_batch(self, x):
        """As of `keras.Model`, for arrays of every kind."""
        x, restored = arranged(self, x, warnings=False)
        return restored(super().predict_on_batch(x))

    def _received(self, x, y=None, sample_weight=None):
        """What `fit` and `evaluate` were given, as NumPy's arrays, looked at."""
        (x, _), y = arranged(self, x), arranged_truth(self, y)
        observations = self._look_at(x)
        if observations is not None and isinstance(y, np.ndarray):
            y = without_land(y, x)
            check_truth(observations, y, same_components=self.operator is None)
            warn_of_scale(y, self.normalisation.mean.numpy(), self.normalisation.std.numpy())
            if self.operator is None:
                warn_of_swapped_components(observations, y)
        return self._converted(x, y, sample_weight)

    def _converted(self, x, y, sample_weight):
        """As NumPy's arrays; with weights there is a truth, if one that is not known."""
        (x, _), y = arranged(self, x, warnings=False), arranged_truth(self, y)
        sample_weight = as_array(sample_weight)
        observations = observations_of(x)
        if y is None and sample_weight is not None and isinstance(observations, np.ndarray):
            self._build_for(observations)
            if not self.training_loss.needs_truth:
                # Keras leaves the weights out where there is none.
                shape = (*observations.shape[:-1], self.normalisation.mean.shape[0])
                y = np.full(shape, np.nan, "float32")
        return x, y, sample_weight

    def _build_for(self, observations):
        if not self.built:
            # That in which the model was made; Keras asks for it where variables are made.
            with self.distribute_strategy.scope():
                self.build(observations.shape)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """As of `keras.Model`; notes which window's state is the farthest."""
        sea = sea_of(by_name(x), y_pred.dtype)
        y_pred = at_sea(y_pred, sea)
        if sea is not None and y is not None:
            y = tf.where(sea > 0, y, np.nan)
        size = tf.where(tf.math.is_finite(y_pred), tf.abs(y_pred), np.inf)
        self.farthest.assign(tf.argmax(tf.reduce_max(size, axes_but(0, size))))
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _look_at(self, inputs):
        """The observations among the inputs, where they are an array."""
        observations = observations_of(inputs)
        if not isinstance(observations, np.ndarray):
            return None
        self._build_for(observations)
        check_observations(observations, self.observed_components, len(self.observations_shape))
        normalisation = self.observation_normalisation()
        warn_of_units(observations, normalisation.mean.numpy(), normalisation.std.numpy())
        return observations

    def _warn_of_time_step(self, truth, covariates):
        """Warn where known dynamics predict worse than that nothing changes."""
        known = np.flatnonzero(np.isfinite(truth).all(axes_but(0, truth)))[:LOOK]
        truth, covariates = truth[known], [values[known] for values in covariates]
        for prior, given in with_covariates(self.priors, *covariates):
            if not (trait(prior, Prior, "physical_units") and truth.size):
                continue
            error = np.square(prior(truth, *given) - truth)[:, 1:].mean()
            change = np.square(np.diff(truth, axis=1)).mean()
            if not error <= 2 * change:  # NaN counts as an error too
                logger.warning(
                    "The prior predicts true states one step ahead with a mean squared error of "
                    "%.3g, worse than that nothing changes, %.3g. Its time step, %s, should be the "
                    "time between two states, in the unit of time of its ODE.",
                    error,
                    change,
                    getattr(prior, "time_step", "unknown"),
                )
