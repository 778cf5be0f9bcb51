"""XLA is on where the model can, and off by itself where it cannot."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import GENN, AutoEncoder, FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet


class GPU:
    device_type = "GPU"


def make_model(prior=None, **settings):
    keras.utils.set_random_seed(0)
    prior = prior or GENN(units=2)
    return FourDVarNet(prior, GradientSolver(FixedStepCell(0.1), iterations=2, **settings))


@pytest.mark.parametrize(
    ("settings", "on"),
    [
        ({}, False),
        ({"recompute": True}, False),
        ({"unroll": True}, True),
        ({"unroll": True, "prior": AutoEncoder()}, False),
    ],
)
def test_beside_a_gpu_it_is_on_for_what_can_be_compiled(settings, on, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [GPU()])
    model = make_model(**settings)
    model.compile("adam")
    assert model.jit_compile is on


@pytest.mark.long
@pytest.mark.parametrize("unroll", [False, True])
def test_forced_it_trains_as_without(unroll, windows):
    data = [windows[name].values[:8, :20] for name in ("observations", "truth")]
    losses = []
    for forced in (False, True):
        model = make_model(unroll=unroll)
        model.adapt(*data)
        if forced and not unroll:
            with pytest.warns(UserWarning, match="doesn't support `jit_compile=True`"):
                model.compile("adam", jit_compile=True)
        else:
            model.compile("adam", jit_compile=forced)
        losses.append(model.fit(*data, batch_size=4, epochs=1, verbose=0).history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
