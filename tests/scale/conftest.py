import numpy as np
import pytest
import xarray as xr

from tf4dvar.data import DIMS, write_dataset
from tf4dvar.evaluation.reconstruction import Reconstruction
from tf4dvar.experiments import true_flow
from tf4dvar.layers import AttentionFirstGuess, GaussianPosterior, GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet

# Windows a file: whole batches, batches and a rest, less than one.
SIZES = {"a.nc": 64, "b.nc": 70, "c.nc": 5}


@pytest.fixture(scope="module")
def cluster():
    """Ray on this machine, two workers' worth of processors, however many there are."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        # Ray's own is 15: beside other tests the workers would hardly ever run.
        patch.setenv("RAY_worker_niceness", "0")
        ray.init("local", num_cpus=2, include_dashboard=False)
        yield
        ray.shutdown()


@pytest.fixture(scope="session")
def model_file(tmp_path_factory):
    """A small model, untrained, that says how sure it is."""
    network = AttentionFirstGuess(8, 8, 1, 2, weighted=True, background=True, outputs=2)
    model = FourDVarNet(
        true_flow("l63"),
        GradientSolver(LSTMCell(units=4), iterations=2),
        noise_variance=1e-3,  # so little that untrained states do not fit
        uncertainty=GaussianPosterior(network),
    )
    model.adapt(np.random.default_rng(0).normal(scale=8.0, size=(8, 24, 3)))
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return path


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A folder of three files, of which 32 windows are one chunk."""
    monkeypatch.setattr("tf4dvar.scale.archive.CHUNK_ENTRIES", 1)
    folder = tmp_path / "archive"
    folder.mkdir()
    for seed, (name, size) in enumerate(SIZES.items()):
        write(folder / name, size, seed)
    return folder


def write(path, windows, seed=0, window_numbers=True):
    """A file of windows of noise, x observed at every fourth of 24 times."""
    observations = 8 * np.random.default_rng(seed).normal(size=(windows, 24, 3))
    observations[:, np.arange(24) % 4 > 0] = np.nan
    observations[..., 1:] = np.nan
    dataset = xr.Dataset(
        {"observations": (DIMS, observations, {"units": "1"})},
        {"window": np.arange(windows), "component": list("xyz")},
        {"seed": seed},
    )
    write_dataset(dataset if window_numbers else dataset.drop_vars("window"), path, force=True)


def first_guesses(chunks):
    """A reconstructor that is quick: 0 where nothing is observed."""
    for chunk in chunks:
        states = np.nan_to_num(chunk.data["observations"].values).astype("float32")
        yield chunk, Reconstruction(states, np.zeros(len(states), bool))
