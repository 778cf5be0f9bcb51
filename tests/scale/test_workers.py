"""On a Ray cluster of this machine; skipped where the extra `ray` is not installed."""

import sys
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import xarray as xr

from tests.scale.conftest import SIZES
from tests.scale.worker_functions import (
    kill_in_worker,
    load_in_worker_that_dies_once,
    multiply_in_worker,
)
from tf4dvar.classical.fields import FieldProblem, OptimalInterpolation
from tf4dvar.data import protocol_plan, read_windows, simulate_dataset
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.models import load_model
from tf4dvar.scale import archive as archives
from tf4dvar.scale import mapping, simulation
from tf4dvar.scale.workers import ray_workers
from tf4dvar.systems import Lorenz63

ray = pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")


pytestmark = [pytest.mark.long, pytest.mark.usefixtures("cluster")]


@pytest.mark.long
def test_calls_are_spread_over_workers_and_read_ahead_by_two_each():
    read = []

    def calls():
        for number in range(12):
            read.append(number)
            yield number, (number,)

    with ray_workers(2, None, multiply_in_worker) as spread:
        results = {}
        for key, result in spread(calls()):
            results[key] = result
            assert len(read) <= len(results) + 4
    assert {key: value for key, (_, value) in results.items()} == {n: 10 * n for n in range(12)}
    assert len({process for process, _ in results.values()}) == 2


def test_a_killed_worker_loses_nothing(tmp_path):
    # As large as a model: what goes through Ray's store has to be there for the second start.
    with ray_workers(2, None, kill_in_worker, tmp_path, 1, bytes(2**21)) as spread:
        results = dict(spread((number, (number,)) for number in range(8)))
    assert results == {number: 10 * number for number in range(8)}
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up_and_nothing_else(tmp_path):
    with ray_workers(2, None, kill_in_worker, tmp_path, 100) as spread:
        results = dict(spread((number, (number,)) for number in range(8)))
    assert "Every worker" in str(results.pop(3))
    assert results == {number: 10 * number for number in range(8) if number != 3}


def test_simulated_windows_are_the_same():
    arguments = (Lorenz63(), protocol_plan("l63", "C"), 50, 30)
    with simulation.with_workers(2) as simulate:
        spread = simulate_dataset(*arguments, seed=3, simulate=simulate)
    xr.testing.assert_identical(spread, simulate_dataset(*arguments, seed=3))


def test_maps_are_interpolated_in_their_order(rng, monkeypatch):
    monkeypatch.setattr(mapping, "PIECE", 2)
    observations = np.where(
        rng.random((1, 6, 20, 20)) < 0.3, rng.normal(size=(1, 6, 20, 20)), np.nan
    )
    grid = Grid(np.arange(20.0), np.arange(20.0))
    problem = FieldProblem(observations, 0.1, np.arange(6.0), grid)
    method = OptimalInterpolation("matern", 3.0, 2.0, 1.0, 1.0, neighbours=30)
    alone = method.analyse(problem)
    with mapping.with_workers(2) as mapped:
        spread = replace(method, mapping=mapped).analyse(problem)
        rough = replace(method, covariance="gaussian", length=1e3, days=1e3, mapping=mapped)
        sure = replace(problem, noise_variance=1e-30)
        with pytest.raises(InputError, match="positive definite"):
            rough.analyse(sure)
    np.testing.assert_array_equal(spread.states, alone.states)
    np.testing.assert_array_equal(spread.spread, alone.spread)


@pytest.mark.slow
@pytest.mark.usefixtures("graph_optimiser")
def test_states_are_those_of_one_process_though_a_worker_is_killed(
    archive, model_file, tmp_path, monkeypatch
):
    pattern = str(archive / "*.nc")
    alone = archives.with_model(load_model(model_file))
    archives.reconstruct_archive(pattern, tmp_path / "one", model_file, alone)
    killed = tmp_path / "killed"
    load = partial(load_in_worker_that_dies_once, killed)
    monkeypatch.setattr("tf4dvar.scale.archive._load_in_worker", load)
    with archives.with_workers(model_file, 2, None) as workers:
        summary = archives.reconstruct_archive(pattern, tmp_path / "two", model_file, workers)
    assert killed.exists()
    assert summary == (3, 0, sum(SIZES.values()), {})
    for name in SIZES:
        one, two = (read_windows(tmp_path / folder / name, "state") for folder in ("one", "two"))
        xr.testing.assert_identical(one, two)


def test_mistakes_are_answered(monkeypatch):
    def no_cluster(address):
        raise ConnectionError(f"nobody answers at {address}")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", no_cluster)
    cluster = ray_workers(2, "ray://head:10001", multiply_in_worker)
    with pytest.raises(InputError, match="no Ray cluster at ray://head"), cluster:
        pass
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="pip install"), ray_workers(2, None, multiply_in_worker):
        pass
