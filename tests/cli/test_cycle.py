"""`tf4dvar cycle` on a file of windows and on a series of one's own."""

import json
import logging

import numpy as np
import pytest
import xarray as xr

from tests.cli.test_app import fail, succeed
from tf4dvar.classical import Gaussian, Problem, Strong, climatology
from tf4dvar.classical.cycled import EnKF, Filter
from tf4dvar.cli import cycle as command
from tf4dvar.cycling import LearnedFilter, ModelFilter, WindowFilter
from tf4dvar.data import simulate_dataset
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.systems import Lorenz63, trajectories
from tf4dvar.systems.observation_plan import ObservationPlan

STEPS = 41


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Series of five pieces."""
    monkeypatch.setattr(command, "LENGTH", 9)


@pytest.fixture(scope="module")
def windows():
    return simulate_dataset(Lorenz63(), ObservationPlan((0, 1), 4, 2.0), 2, STEPS, seed=4)


@pytest.fixture
def series(windows, tmp_path):
    """The same as a table of three variables, two members, components in another order."""
    values = windows["observations"].values
    times = ("time", windows["time"].values)
    variables = {name: (("member", "time"), values[..., "xyz".index(name)]) for name in "zxy"}
    path = tmp_path / "series.nc"
    attrs = {"system": "l63", "noise_variance": 2.0}
    xr.Dataset(variables, {"time": times}, attrs).to_netcdf(path)
    return path


def expected(windows, method):
    system = Lorenz63() if method.needs_dynamics else None
    problem = Problem(windows["observations"].values, None, 2.0, system=system)
    found = [estimate for _, estimate in method.run(problem)]
    return [np.stack(each, axis=1) for each in zip(*found, strict=True)]


def test_windows_are_series_side_by_side(windows, tmp_path):
    windows.to_netcdf(tmp_path / "w.nc")
    out = tmp_path / "out.nc"
    asked = ("--data", tmp_path / "w.nc", "--out", out, "--json")
    told = json.loads(succeed("cycle", "enkf", "--members", 12, *asked))
    mean, spread, misfit = expected(windows, EnKF(members=12))
    with xr.open_dataset(out) as found:
        np.testing.assert_allclose(found["state"], mean, rtol=1e-6)
        np.testing.assert_allclose(found["state_std"], spread, rtol=1e-5)
    assert (told["series"], told["times"], told["lost"]) == (2, STEPS, 0)
    assert told["misfit"] == pytest.approx(np.nanmean(misfit))
    assert not list(tmp_path.glob("*.pieces"))


def test_a_series_keeps_its_form_and_has_errors_beside(windows, series, tmp_path):
    out = tmp_path / "out.nc"
    succeed("cycle", "enkf", "--members", 12, "--system", "l63", "--data", series, "--out", out)
    mean, spread, _ = expected(windows, EnKF(members=12))
    with xr.open_dataset(out) as found:
        assert found["x"].dims == ("member", "time")
        for number, name in enumerate("xyz"):
            np.testing.assert_allclose(found[name], mean[..., number], rtol=1e-6)
            np.testing.assert_allclose(found[f"{name}_error"], spread[..., number], rtol=1e-5)


def test_a_method_of_windows_hands_on_what_it_knows(windows, tmp_path):
    windows.to_netcdf(tmp_path / "w.nc")
    out = tmp_path / "out.nc"
    asked = ("--window", 8, "--advance", 4, "--background-inflation", 1.1, "--mode", "filter")
    succeed("cycle", "strong", *asked, "--data", tmp_path / "w.nc", "--out", out)
    problem = Problem(
        windows["observations"].values, true_flow("l63", "float64"), 2.0, system=Lorenz63()
    )
    method = WindowFilter(
        method=Strong(), window=8, advance=4, background_inflation=1.1, mode="filter"
    )
    mean, spread, _ = (
        np.stack(each, axis=1)
        for each in zip(*(estimate for _, estimate in method.run(problem)), strict=True)
    )
    with xr.open_dataset(out) as found:
        np.testing.assert_allclose(found["state"], mean, rtol=1e-5)
        np.testing.assert_allclose(found["state_std"], spread, rtol=1e-4)
    assert "advance by their length at most" in fail(
        "cycle", "strong", "--window", 3, "--data", tmp_path / "w.nc", "--out", tmp_path / "no.nc"
    )
    # One option of the same name is of both.
    asked = ("--members", 40, "--seed", 3, "--window", 8, "--advance", 8)
    succeed("cycle", "enks", *asked, "--data", tmp_path / "w.nc", "--out", tmp_path / "other.nc")


@pytest.mark.long
@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (LearnedFilter(model="l63-cycle"), ()),
        (ModelFilter(model="l63", window=20, advance=4), ("--window", 20, "--advance", 4)),
    ],
    ids=lambda of: getattr(of, "name", None),
)
def test_a_model_knows_its_data_by_their_labels_and_needs_no_system(
    method, settings, windows, series, tmp_path
):
    with xr.open_dataset(series) as found:
        unknown = found.drop_attrs().assign_attrs(noise_variance=2.0).load()
    unknown["time"].attrs = {}
    unknown.to_netcdf(tmp_path / "unknown.nc")
    asked = ("cycle", method.name, "--model", method.model, *settings, "--out")
    succeed(*asked, tmp_path / "out.nc", "--data", tmp_path / "unknown.nc")
    mean, *_ = expected(windows, method)
    with xr.open_dataset(tmp_path / "out.nc") as found:
        for number, name in enumerate("xyz"):
            np.testing.assert_allclose(found[name], mean[..., number], rtol=1e-5, atol=1e-4)


@pytest.mark.long
@pytest.mark.parametrize(
    "asked",
    [("ienks",), ("strong", "--window", 4, "--advance", 2)],
    ids=lambda asked: asked[0],
)
def test_a_stopped_run_goes_on_as_if_it_had_not_been(asked, series, tmp_path, monkeypatch):
    asked = ("cycle", *asked, "--system", "l63", "--data", series, "--out")
    whole, out = tmp_path / "whole.nc", tmp_path / "out.nc"
    succeed(*asked, whole)
    run, done = command.cycle, []

    def stopped(*given):
        for piece in run(*given):
            done.append(piece)
            if len(done) == 3:
                raise OSError("stopped")
            yield piece

    monkeypatch.setattr(command, "cycle", stopped)
    assert "stopped" in fail(*asked, out)
    monkeypatch.setattr(command, "cycle", run)
    assert "--resume goes on with it" in fail(*asked, out)
    assert "another settings" in fail(*asked, out, "--resume", "--seed", 9)
    calls = []
    for kind in (Filter, WindowFilter):
        monkeypatch.setattr(
            kind,
            "run",
            lambda *given, of=kind.run, **asked: calls.append(given) or of(*given, **asked),
        )
    succeed(*asked, out, "--resume")
    assert len(calls) == 2
    with xr.open_dataset(out) as one, xr.open_dataset(whole) as other:
        xr.testing.assert_identical(one, other)
    assert "nothing to resume" in fail(*asked, tmp_path / "new.nc", "--resume")


def test_a_mistake_leaves_nothing_behind(series, tmp_path):
    asked = ("cycle", "enkf", "--data", series, "--out", tmp_path / "out.nc")
    assert "expected a positive" in fail(*asked, "--inflation", -1)
    assert "rossler" in fail(*asked, "--system", "rossler")
    assert list(tmp_path.iterdir()) == [series]


def test_what_loses_the_truth_is_told_and_begins_anew_where_asked(caplog):
    system = Lorenz63()
    truth = trajectories(system, np.array([[1.0, 2.0, 20.0]]), 800)
    observations = np.full(truth.shape, np.nan)
    observations[:, 4::8] = truth[:, 4::8]
    far = Gaussian(np.array([-10.0, -15.0, 30.0]), 1e-6)
    problem = Problem(observations, None, 0.1, far, system=system)
    method = EnKF(members=6, inflation=1.0)
    with caplog.at_level(logging.WARNING):
        *_, (lost, estimate) = method.run(problem)
    assert lost.lost[0] > 1
    assert caplog.text.count("enkf has lost 1 of 1 series") == 1
    assert np.abs(estimate.mean - truth[:, -1]).max() > 1

    anew = Problem(observations, None, 0.1, climatology(system), system=system)
    start = next(method.run(problem))[0]
    *_, (found, estimate) = method.run(anew, start, restart=True)
    assert found.lost[0] >= 1
    assert "they begin anew" in caplog.text


def test_maps_are_refused(tmp_path):
    maps = xr.DataArray(np.zeros((3, 4, 5)), dims=("time", "lat", "lon"), name="sst")
    maps = maps.assign_coords(time=range(3), lat=range(4), lon=range(5))
    maps.to_netcdf(tmp_path / "maps.nc")
    asked = ("--data", tmp_path / "maps.nc", "--out", tmp_path / "out.nc", "--system", "l63")
    assert "is of maps; expected a series" in fail("cycle", "enkf", *asked)
