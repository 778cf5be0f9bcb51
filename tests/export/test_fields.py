"""A model of fields as a SavedModel, in a program that has none of its layers, and in ONNX."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import onnxruntime
import pytest

from tests.export.test_saved_model import ELSEWHERE
from tests.field_models import field_model, field_windows
from tf4dvar.export import save

pytestmark = pytest.mark.long


@pytest.mark.slow
def test_it_gives_the_same_where_the_package_is_not(tmp_path):
    model, windows = field_model(), {"six": field_windows(), "one": field_windows(1, seed=2)}
    version = save(model, tmp_path / "served")
    np.savez(tmp_path / "windows.npz", **windows)
    packages = str(Path(keras.__file__).parents[1])
    command = [sys.executable, "-I", "-S", "-c", ELSEWHERE, packages, str(version)]
    subprocess.run(command, cwd=tmp_path, check=True)
    with np.load(version / "results.npz") as results:
        for name, observations in windows.items():
            expected = model.predict(observations, verbose=0)
            np.testing.assert_allclose(results[name], expected, rtol=1e-5, atol=1e-5)
            assert results[f"{name}_cost"].shape == (len(observations), 8)


@pytest.mark.slow
@pytest.mark.parametrize("interpolates", [True, False])
def test_it_converts_to_onnx(interpolates, tmp_path):
    model, observations = field_model(interpolates), field_windows()
    version = save(model, tmp_path / "served", "onnx")
    session = onnxruntime.InferenceSession(version / "model.onnx")
    (state,) = session.run(["state"], {"observations": observations})
    tolerance = 1e-4 + model.first_guess.tolerance
    np.testing.assert_allclose(state, model.predict(observations, verbose=0), atol=tolerance)
