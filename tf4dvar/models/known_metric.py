"""Keras' metrics over the truth that is known."""

from typing import Any

import keras
import tensorflow as tf

from tf4dvar.models.losses import by_entry

# What they give is a mean over entries, each for itself.
BY_ENTRY = (
    keras.metrics.LogCoshError,
    keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanAbsolutePercentageError,
    keras.metrics.MeanSquaredError,
    keras.metrics.MeanSquaredLogarithmicError,
    keras.metrics.RootMeanSquaredError,
)
FUNCTIONS = (
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_error,
    keras.losses.mean_squared_logarithmic_error,
)


@keras.saving.register_keras_serializable(package="tf4dvar")
class KnownMetric(keras.metrics.Metric):
    """A metric of single entries that leaves out those whose truth is NaN.

    Args:
        metric: a metric of Keras that is a mean over entries.
    """

    def __init__(self, metric: keras.metrics.Metric, **kwargs):
        super().__init__(**{"name": metric.name, **kwargs})
        self.metric = metric

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of [batch, time, component]."""
        known = tf.math.is_finite(y_true)
        truth, state = (tf.where(known, each, 0.0)[..., tf.newaxis] for each in (y_true, y_pred))
        weights = tf.cast(known, y_pred.dtype) * by_entry(sample_weight, y_pred)
        self.metric.update_state(truth, state, weights)

    def result(self):
        """Of the metric."""
        return self.metric.result()

    def reset_state(self):
        """Of the metric."""
        self.metric.reset_state()

    def get_config(self):
        """The metric."""
        metric = keras.saving.serialize_keras_object(self.metric)
        return {"name": self.name, "metric": metric}

    @classmethod
    def from_config(cls, config):
        """Make the metric anew."""
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})


def over_known(metrics: Any) -> Any:
    """What `compile` was given as metrics, those of single entries over known truth alone.

    Args:
        metrics: names, metrics and functions, or nests of them. A function or a metric of the
            user's own is left as it is: it sees NaN where the truth is not known.
    """
    return keras.tree.map_structure(_over_known, metrics)


def _over_known(given):
    if isinstance(given, str):
        metric = keras.metrics.get(given)
        metric.name = given
    elif given in FUNCTIONS:
        metric = keras.metrics.MeanMetricWrapper(given, name=given.__name__)
    else:
        metric = given
    by_entry_alone = isinstance(metric, BY_ENTRY) or given in FUNCTIONS
    return KnownMetric(metric) if by_entry_alone else given
