from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np
import pytest

from tf4dvar.experiments import experiment_by_name
from tf4dvar.layers import BilinearAutoEncoder, FixedStepCell, GradientSolver
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.systems import QuasiGeostrophic, StirredTemperature
from tf4dvar.training import job, simulated_fields, train
from tf4dvar.training.simulated_fields import SimulatedFields

DAYS = 4


def _build():
    prior = BilinearAutoEncoder(4, segment=DAYS, boundary="periodic")
    return FourDVarNet(prior, GradientSolver(FixedStepCell(0.1)))


EXPERIMENT = replace(
    experiment_by_name("qg-nadirs"),
    build=_build,
    windows=12,
    steps=DAYS,
    batch_size=6,
    stages=((0.0, 1),),
)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A box of 16 points and some days of weak eddies."""
    small = {
        "qg": partial(QuasiGeostrophic, points=16),
        "qg-tracer": partial(StirredTemperature, points=16),
    }
    monkeypatch.setattr(simulated_fields, "FIELDS", small)
    for name, value in {"MEMBERS": 3, "OF_VALIDATION": 1, "DAYS": 11, "SPIN_UP": 3}.items():
        monkeypatch.setattr(simulated_fields, name, value)


def windows_of(experiment=EXPERIMENT, seed=5):
    return SimulatedFields(experiment, {"windows": experiment.windows, "seed": seed})


@pytest.mark.parametrize("kind", [QuasiGeostrophic, StirredTemperature])
def test_a_field_upside_down_with_the_other_sign_obeys_the_system(kind, rng):
    system = kind(points=32)
    mean = system.observed(0 * system.initial(1, rng))
    state = 20 * system.initial(1, rng)
    turned = -np.fft.rfft2(np.fft.irfft2(state)[..., ::-1, :])
    days = [next(islice(system.days(each), 5, None)) for each in (state, turned)]
    one, other = (system.observed(each) - mean for each in days)
    assert np.abs(one - (system.observed(state) - mean)).max() > 0.1 * np.abs(one).max()
    np.testing.assert_allclose(other, -one[:, ::-1], rtol=0, atol=1e-6 * np.abs(one).max())


@pytest.mark.parametrize("name", ["qg", "qg-tracer"])
def test_every_window_is_one_of_the_runs_elsewhere_in_the_box(name):
    windows = windows_of(replace(EXPERIMENT, system=name))
    mean = windows._mean
    runs = windows._departures
    known = [
        np.sort(np.abs(run[day : day + DAYS]).reshape(DAYS, -1))
        for run in runs
        for day in range(11 - DAYS + 1)
    ]
    for truth in windows.truth[..., 0]:
        values = np.sort(np.abs(truth - mean).reshape(DAYS, -1))
        assert min(np.abs(values - each).max() for each in known) < 1e-5 * np.abs(known).max()
    held_out = np.sort(np.abs(windows.validation[1][..., 0] - mean).reshape(-1, DAYS, 256))
    nearest = min(np.abs(one - each).max() for one in held_out for each in known)
    assert nearest > 1e-4 * np.abs(known).max()


def test_tracks_see_the_truth_with_their_noise():
    windows = windows_of(replace(EXPERIMENT, windows=60))
    error = windows.observations - windows.truth
    seen = np.isfinite(error)
    assert 0.02 < seen.mean() < 0.3
    assert error[seen].std() == pytest.approx(0.02, rel=0.1)
    assert abs(error[seen].mean()) < 0.002
    assert not np.array_equal(seen[0], seen[1])


@pytest.mark.parametrize("factor", [2, 4])
def test_a_part_of_the_box_on_a_finer_grid(factor):
    points = np.arange(64.0)

    def waves(y, x):
        return np.sin(y / 5)[:, None] + np.cos(x / 7)

    windows = np.broadcast_to(waves(points, points), (2, 3, 64, 64))
    finer = simulated_fields._refined(windows, factor)
    assert finer.shape == windows.shape
    # The middle, each point in as many.
    places = 31.5 + (points - 31.5) / factor
    np.testing.assert_allclose(finer[1, 2], waves(places, places), atol=0.01)


def test_windows_of_every_refinement_are_of_the_same_size(monkeypatch):
    monkeypatch.setattr(simulated_fields, "MARGIN", 2)
    clouds = {"system": "qg-tracer", "protocol": "clouds", "refinements": (1, 2)}
    windows = windows_of(replace(EXPERIMENT, **clouds))
    assert windows.truth.shape == (12, DAYS, 16, 16, 1)
    # The mean falls from row to row by half as much.
    mean = np.diff(windows.truth[..., 0].mean(axis=(1, 3)), axis=1).mean(axis=1)
    steep = np.abs(mean) > 0.75 * np.abs(mean).max()
    assert steep.sum() == 6
    error = windows.observations - windows.truth
    assert np.nanstd(error) == pytest.approx(0.2, rel=0.1)


def test_a_pass_follows_from_its_number():
    windows = windows_of()
    first, again, second = (
        [each.numpy() for each in next(iter(windows.batches(6, number, slice(None))))]
        for number in (0, 0, 1)
    )
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[1], second[1])
    assert np.abs(windows_of(seed=6).truth - windows.truth).max() > 0


@pytest.mark.long
def test_a_training_ends_with_a_model_that_knows_the_grid(tmp_path, monkeypatch):
    monkeypatch.setattr(job, "FIELDS", simulated_fields.FIELDS)
    model = train(EXPERIMENT, tmp_path / "run", epochs=2, verbose=0)
    saved = load_model(tmp_path / "run")
    for each in (model, saved):
        assert each.signature.periodic == (True, True)
        assert each.signature.time_step == 86_400
        assert each.signature.window == DAYS
        assert each.signature.units == ("m",)
    assert train(EXPERIMENT, tmp_path / "run", epochs=2, resume=True, verbose=0) is not None
