"""A model as a filter, beside the model on the whole window."""

from dataclasses import replace

import numpy as np
import pytest

from tests.cli.test_app import fail, succeed
from tests.training.test_cycled_windows import small
from tf4dvar.classical import Gaussian, Problem
from tf4dvar.cycling import BENCHMARKS, LearnedFilter
from tf4dvar.data import open_windows, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.layers import Lorenz63ODE, RK4Flow
from tf4dvar.models import load_model
from tf4dvar.systems import Lorenz63, trajectories
from tf4dvar.systems.observation_plan import ObservationPlan

PLAN = ObservationPlan((0, 1, 2), every=4, noise_variance=2.0)


@pytest.fixture(scope="module")
def data():
    return simulate_dataset(Lorenz63(), PLAN, windows=3, steps=18, seed=4)


@pytest.fixture(scope="module")
def path(data, tmp_path_factory):
    model = small()
    model.adapt(data["observations"].values, data["truth"].values)
    path = tmp_path_factory.mktemp("model") / "model.keras"
    model.save(path)
    return str(path)


def problem(data, **settings):
    return Problem(data["observations"].values, None, 2.0, system=Lorenz63(), **settings)


def test_it_is_the_model_of_the_whole_window(path, data):
    model = load_model(path)
    # Both begin with the mean of what the model was adapted to.
    background = Gaussian(model.normalisation.mean.numpy().astype("float64"), 1.0)
    run = LearnedFilter(model=path).run(problem(data, background=background))
    estimates = [estimate for _, estimate in run]
    observations = data["observations"].values.astype("float32")
    given = {"observations": observations, "noise_variance": np.full_like(observations, 2.0)}
    whole = model.posterior(given, warnings=False)
    means = np.stack([each.mean for each in estimates], axis=1)
    np.testing.assert_allclose(means, whole.mean, rtol=1e-3, atol=2e-3)
    spread = np.stack([each.spread for each in estimates], axis=1)
    observed = np.arange(18) % 4 == 0
    np.testing.assert_allclose(spread[:, observed], whole.std[:, observed], rtol=1e-3, atol=1e-4)
    assert np.isnan(spread[:, ~observed]).all()
    misfits = np.stack([each.misfit for each in estimates], axis=1)
    assert np.isfinite(misfits[:, observed]).all()
    assert np.isnan(misfits[:, ~observed]).all()


def test_some_series_observed_and_others_not(path, data):
    both = data.copy(deep=True)
    both["observations"][1] = np.nan
    background = Gaussian(np.zeros(3), 1.0)
    run = LearnedFilter(model=path).run(problem(both, background=background))
    found = np.stack([estimate.mean for _, estimate in run], axis=1)
    run = LearnedFilter(model=path).run(problem(data, background=background))
    expected = np.stack([estimate.mean for _, estimate in run], axis=1)
    np.testing.assert_allclose(found[::2], expected[::2], rtol=1e-4, atol=1e-4)
    free = np.zeros((1, 3))
    for time in range(18):
        np.testing.assert_allclose(found[1, time], free[0], atol=1e-9)
        free = Lorenz63().step(free)


def test_it_forecasts_by_the_flow_of_the_model(path, data, tmp_path):
    learned = load_model(path)
    half = Lorenz63ODE([each / 2 for each in Lorenz63ODE.TRUTH], trainable=False)
    slow = small(RK4Flow(half, 0.01))
    slow.adapt(data["observations"].values, data["truth"].values)
    slow.set_weights(learned.get_weights())
    slow.prior.ode.set_weights([np.reshape(half.coefficients, (3, 3))])
    slow.save(tmp_path / "slow.keras")
    unobserved = data.copy(deep=True)
    unobserved["observations"][:] = np.nan
    start = Gaussian(np.array([1.0, 2.0, 20.0]), 1.0)
    method = LearnedFilter(model=str(tmp_path / "slow.keras"))
    run = method.run(problem(unobserved, background=start))
    found = np.stack([estimate.mean for _, estimate in run], axis=1)
    # Half the slopes: the same states at twice the time.
    ahead = trajectories(Lorenz63().with_time_step(0.005), start.mean[np.newaxis], 18)
    np.testing.assert_allclose(found[0], ahead[0], atol=1e-3)
    twice = replace(problem(unobserved, background=start), system=Lorenz63().with_time_step(0.02))
    found = np.stack([estimate.mean for _, estimate in method.run(twice)], axis=1)
    ahead = trajectories(Lorenz63(), start.mean[np.newaxis], 18)
    np.testing.assert_allclose(found[0], ahead[0], atol=1e-3)


def test_of_no_known_background_it_begins_with_the_mean_of_the_training(path, data):
    first = Problem(data["observations"].values * np.nan, None, 2.0)
    _, estimate = next(LearnedFilter(model=path).run(first))
    mean = load_model(path).normalisation.mean.numpy()
    np.testing.assert_array_equal(estimate.mean, np.tile(mean, (3, 1)))


def test_what_it_does_not_take_is_refused(path, data):
    of_sum = problem(data, observation_operator=np.eye(3), background=Gaussian(np.zeros(3), 1.0))
    with pytest.raises(InputError, match="neither covariates nor an observation operator"):
        next(LearnedFilter(model=path).run(of_sum))
    correlated = Problem(
        data["observations"].values, None, np.eye(3)[None, None] + 0.5, system=Lorenz63()
    )
    with pytest.raises(InputError, match="takes variances alone"):
        next(LearnedFilter(model=path).run(correlated))
    with pytest.raises(InputError, match="l63-c is no filter"):
        next(LearnedFilter(model="l63-c").run(problem(data)))
    with pytest.raises(InputError, match="Received model=3; expected a text"):
        LearnedFilter(model=3)


@pytest.mark.long
def test_its_command_is_that_of_the_other_filters(path, data, tmp_path):
    write_dataset(data, tmp_path / "long.nc")
    told = ("--data", tmp_path / "long.nc", "--out", tmp_path / "analyses.nc")
    assert "misfit" in succeed("cycle", "learned", "--model", path, *told)
    with open_windows(tmp_path / "analyses.nc", "state") as found:
        assert found["state"].shape == (3, 18, 3)
        assert np.isfinite(found["state"]).all()
        assert np.isfinite(found["state_std"][:, ::4]).all()
    assert "is no filter" in fail("cycle", "learned", "--model", "l63-c", *told, "--force")


@pytest.mark.long
@pytest.mark.parametrize(
    ("setting", "model", "others"),
    [("sakov2012", "l63-cycle", ["EnKF 10", "3D-Var"]), ("sakov2008", "l96-cycle", ["3D-Var"])],
)
def test_a_published_one_is_better_than_what_knows_less(setting, model, others):
    cases = [f"learned:model={model}", *others]
    learned, *others = BENCHMARKS[setting].run(cases, cycles=300, seed=5).values()
    assert all(learned.rmse.mean < other.rmse.mean for other in others)
    assert learned.spread == pytest.approx(learned.rmse.mean, rel=0.35)
