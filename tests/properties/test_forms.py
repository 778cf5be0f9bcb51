"""A model gives the same states from memory, from a `.keras` file and from a SavedModel.

In double precision: in single, dynamics make of other rounding in another graph what they will.
"""

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from tests.properties.conftest import MODELS, compiled, make_model
from tests.properties.strategies import observed_windows
from tf4dvar import export
from tf4dvar.models import load_model


@pytest.fixture(scope="module", params=MODELS)
def forms(request, tmp_path_factory):
    """The model, its graph, that of its file, and its SavedModel."""
    folder = tmp_path_factory.mktemp(request.param)
    keras.config.set_dtype_policy("float64")
    try:
        model = make_model(request.param)
    finally:
        keras.config.set_dtype_policy("float32")
    model.save(folder / "model.keras")
    loaded = load_model(folder / "model.keras")
    served = tf.saved_model.load(export.save(model, folder / "exported"))
    return model, compiled(model), compiled(loaded), served


@pytest.mark.long
@given(windows=observed_windows(), iterations=st.integers(0, 4))
def test_all_forms_agree(forms, windows, iterations):
    model, memory, file, served = forms
    windows = windows[..., : model.observed_components]
    states = memory(windows).numpy()
    assert states.dtype == "float64"
    np.testing.assert_array_equal(file(windows), states)
    exported = served.signatures["serving_default"](observations=tf.constant(windows))["state"]
    np.testing.assert_allclose(exported, states, rtol=1e-6, atol=1e-6)
    asked = served.signatures["reconstruct_with"](
        observations=tf.constant(windows), iterations=tf.constant(iterations)
    )
    pathway = model.iterates(windows, iterations)
    np.testing.assert_allclose(asked["state"], pathway.states[-1], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(asked["cost"], np.transpose(pathway.costs), rtol=1e-9)
