import keras
import numpy as np
import pytest

from tf4dvar.data.pipeline import fixed_windows
from tf4dvar.layers import GENN, GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet
from tf4dvar.training import train_loop


@pytest.mark.long
def test_the_written_out_loop_does_what_fit_does(windows):
    observations, truth = windows["observations"].values, windows["truth"].values
    results = []
    for own_loop in (False, True):
        keras.utils.set_random_seed(3)
        model = FourDVarNet(GENN(units=4), GradientSolver(LSTMCell(units=4), iterations=3))
        model.adapt(observations)
        model.compile(keras.optimizers.Adam(1e-2, clipnorm=1.0), jit_compile=False)
        batches = fixed_windows(observations, truth, batch_size=10, seed=2)
        if own_loop:
            losses = train_loop(model, batches, epochs=3, steps_per_epoch=4)
        else:
            history = model.fit(batches, epochs=3, steps_per_epoch=4, shuffle=False, verbose=0)
            losses = history.history["loss"]
        results.append((losses, model.get_weights()))
    (fit_losses, fit_weights), (loop_losses, loop_weights) = results
    np.testing.assert_allclose(loop_losses, fit_losses, rtol=1e-5)
    for ours, theirs in zip(loop_weights, fit_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
