"""Metrics of Keras that a trained model has: whoever loads it has to know them."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="tf4dvar")
class RScore(keras.metrics.Mean):
    """R-score as a Keras metric: mean squared error, NaN in the truth left out.

    Args:
        name: of the metric.
    """

    def __init__(self, name: str = "r_score", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch of [batch, time, component]."""
        known = tf.cast(tf.math.is_finite(y_true), y_pred.dtype)
        error = tf.math.multiply_no_nan(tf.square(y_pred - y_true), known)
        super().update_state(error, known)
