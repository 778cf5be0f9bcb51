"""What every layer must stand: shapes, dtypes, configuration, saving and loading."""

import keras
import numpy as np


def check_layer(layer, *inputs, tmp_path):
    """Output finite and of the layer's dtype; `.keras` round trip exact, with new weights too.

    Args:
        layer: a fresh layer; it is built and its weights are changed.
        inputs: call arguments, arrays [batch, time, component] or tuples of them.

    Returns:
        The layer's outputs as arrays.
    """
    symbolic = keras.tree.map_structure(
        lambda x: keras.Input(x.shape[1:], dtype=x.dtype.name), inputs
    )
    inputs = keras.tree.flatten(inputs)
    model = keras.Model(keras.tree.flatten(symbolic), layer(*symbolic))
    rng = np.random.default_rng(1)
    for weight in layer.trainable_variables:
        weight.assign(weight.numpy() * rng.uniform(0.9, 1.1, weight.shape))
    outputs = keras.tree.flatten(model(inputs))
    for output in outputs:
        assert np.isfinite(output).all()
        assert keras.backend.standardize_dtype(output.dtype) == layer.compute_dtype

    model.save(tmp_path / "layer.keras")
    loaded = keras.saving.load_model(tmp_path / "layer.keras")
    again = keras.tree.flatten(loaded(inputs))
    for output, other in zip(outputs, again, strict=True):
        np.testing.assert_array_equal(output, other)
    twin = type(layer).from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    return [np.asarray(output) for output in outputs]
