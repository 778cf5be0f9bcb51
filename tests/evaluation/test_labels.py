"""Windows whose labels say that they are in another order, or of another kind."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cli.test_app import fail, invoke, succeed
from tf4dvar.classical import EnKS, OptimalInterpolation, WeakAnnealed
from tf4dvar.data import protocol_plan, read_windows, simulate_dataset, write_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.metrics import r_score
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.evaluation.scores import score
from tf4dvar.models import load_model
from tf4dvar.systems import Lorenz63

pytestmark = pytest.mark.long

ORDER = ["y", "x", "z"]


@pytest.fixture(scope="module")
def windows():
    """`tf4dvar simulate l63 --windows 20 --protocol C --seed 7`."""
    return simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 20, seed=7)


@pytest.fixture(scope="module")
def model():
    return load_model("l63-c")


@pytest.fixture(scope="module")
def files(windows, tmp_path_factory):
    """A folder of the windows in both orders."""
    folder = tmp_path_factory.mktemp("labels")
    write_dataset(windows, folder / "xyz.nc")
    write_dataset(windows.sel(component=ORDER), folder / "yxz.nc")
    return folder


@pytest.fixture(scope="module")
def expected(files):
    """The states of the windows as they were simulated."""
    succeed("reconstruct", "l63-c", "--data", files / "xyz.nc", "--out", files / "states.nc")
    states = read_windows(files / "states.nc", "state")["state"]
    truth = read_windows(files / "xyz.nc")["truth"]
    assert 0.7 < r_score(states.values, truth.values).mean() < 0.85
    return states


def test_components_in_another_order_are_found_by_their_names(files, expected):
    for data, out in ((files / "yxz.nc", "one.nc"), (f"{files}/y*z.nc", "folder")):
        succeed("reconstruct", "l63-c", "--data", data, "--out", files / out)
    for path in (files / "one.nc", files / "folder" / "yxz.nc"):
        states = read_windows(path, "state")["state"]
        assert list(states["component"].values) == ORDER
        np.testing.assert_array_equal(states.sel(component=list("xyz")), expected)


def test_scores_do_not_depend_on_the_order(files):
    one, other = (
        json.loads(succeed("evaluate", "l63-c-paper", "--data", files / name, "--json"))
        for name in ("xyz.nc", "yxz.nc")
    )
    for name in ("r_score", "fourdvar_score", "ode_score"):
        assert other[name] == pytest.approx(one[name], rel=1e-6)
    assert other["r_score_by_component"] == pytest.approx(one["r_score_by_component"])


def test_classical_methods_and_comparisons_find_them_too(files, expected):
    tables = []
    for name in ("xyz", "yxz"):
        data = ("--data", files / f"{name}.nc")
        out, report = files / f"strong-{name}.nc", files / f"report-{name}"
        first = ("--first-guess", files / "states.nc")
        succeed("assimilate", "weak-annealed", *data, *first, "--steps", 8, "--out", out)
        chain = ("--methods", "oi,l63-c+weak-annealed", "--models", "l63-c-paper")
        succeed("compare", *data, *chain, "--out", report)
        tables.append(json.loads((report / "report.json").read_text()))
    one, other = (
        read_windows(files / f"strong-{name}.nc", "state")["state"] for name in ("xyz", "yxz")
    )
    assert list(other["component"].values) == ORDER
    np.testing.assert_array_equal(other.sel(component=list("xyz")), one)
    for method, scores in tables[0].items():
        for name in ("r_score", "fourdvar_score", "ode_score"):
            assert tables[1][method][name] == pytest.approx(scores[name], rel=1e-5), (method, name)


def test_states_of_a_file_are_drawn_beside_their_own_components(files, expected, monkeypatch):
    drawn = {}

    def plot(dataset, states, stds):
        assert stds == {}
        drawn.update(states)
        raise InputError("drawn")

    monkeypatch.setattr("tf4dvar.evaluation.plots.plot_reconstructions", plot)
    states = ("--states", files / "states.nc", "--out", files / "figure.png")
    fail("plot", "--data", files / "yxz.nc", *states)
    np.testing.assert_array_equal(drawn["states"], expected.sel(component=ORDER))


CASES = {
    "another component": (
        lambda data: data.assign_coords(component=["x", "y", "w"]),
        "z is missing: add it, NaN if not observed; w is unknown",
    ),
    "every second step": (
        lambda data: data.isel(time=slice(None, None, 2)).assign_attrs(time_step=0.02),
        "a time step of 0.02 '1'; expected 0.01 '1'",
    ),
    "time that runs backwards": (lambda data: data.isel(time=slice(None, None, -1)), "ascend"),
    "rows that are dropped": (
        lambda data: data.drop_isel(time=range(60, 75)),
        "some are missing: 1 steps are longer than most, the first after 0.59",
    ),
    "another unit": (
        lambda data: data.assign_coords(units=("component", ["m", "1", "1"])),
        "Received x in 'm'; expected it in '1'",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_windows_of_another_kind_are_refused_by_every_command(windows, case, tmp_path):
    change, said = CASES[case]
    path, out = tmp_path / "windows.nc", ("--out", tmp_path / "out")
    write_dataset(change(windows), path)
    assert said in fail("reconstruct", "l63-c", "--data", path, "--out", tmp_path / "out.nc")
    assert said in fail("evaluate", "l63-c", "--data", path)
    assert said in fail("compare", "--data", path, "--models", "l63-c", *out)
    archive = invoke("reconstruct", "l63-c", "--data", f"{tmp_path}/w*.nc", *out)
    assert archive.exit_code == 1
    assert said in (tmp_path / "out" / "manifest.jsonl").read_text()
    if case != "every second step":  # of which a flow may have the step
        with pytest.raises(InputError, match=said[:20]):
            problem_of(change(windows))


def test_observations_at_other_steps_are_warned_of(model, windows, caplog):
    later = simulate_dataset(Lorenz63(), protocol_plan("l63", "C"), 20, 205, seed=7)
    reconstruct(model, windows)
    assert not [each for each in caplog.records if each.name.startswith("tf4dvar")]
    reconstruct(model, later.isel(time=slice(5, None)))
    assert "x: observed 3 steps after a multiple of 8, in training 0" in caplog.text


@settings(max_examples=3)
@given(order=st.permutations("xyz"), dims=st.permutations(["window", "time", "component"]))
def test_no_order_of_labels_gives_other_states(model, windows, order, dims):
    paper = load_model("l63-c-paper")
    some = windows.isel(window=slice(3))
    expected = some["observations"].copy(data=reconstruct(paper, some).states)
    given_ = some.sel(component=list(order))
    states = given_["observations"].copy(data=reconstruct(paper, given_).states)
    np.testing.assert_array_equal(states.sel(component=list("xyz")), expected)
    predicted = paper.predict(given_["observations"].astype("float32"), verbose=0)
    np.testing.assert_array_equal(predicted, states)


def with_variance(windows, variance):
    return windows.assign(
        observation_variance=(windows["observations"].dims, np.broadcast_to(variance, (20, 200, 3)))
    )


def test_the_variance_beside_the_observations_is_used_by_all(model, windows, rng, caplog):
    """A third of the observations has a hundred times the variance, and says so."""
    noisy = rng.random((20, 200, 3)) < 1 / 3
    variance = np.where(noisy, 200.0, 2.0)
    extra = np.where(noisy, rng.normal(0, np.sqrt(198), noisy.shape), 0)
    silent = windows.assign(observations=windows["observations"] + extra)
    told = with_variance(silent, variance)
    for states_of in (
        lambda data: OptimalInterpolation().analyse(problem_of(data)).states,
        lambda data: EnKS(members=100).analyse(problem_of(data)).states,
        lambda data: WeakAnnealed(steps=20).analyse(problem_of(data)).states,
    ):
        errors = [score(states_of(data), data)["r_score"] for data in (told, silent)]
        assert errors[0] < 0.9 * errors[1]
    states = [reconstruct(model, data).states for data in (told, silent)]
    assert np.abs(states[0] - states[1]).max() > 1e-3
    assert "noise variance of up to 200, those of the model's training 2" in caplog.text


def test_the_variance_of_the_training_changes_nothing(model, windows):
    told = with_variance(windows, 2.0)
    np.testing.assert_allclose(
        reconstruct(model, told).states, reconstruct(model, windows).states, atol=1e-3
    )
    permuted = told.sel(component=ORDER)
    problem = problem_of(permuted)
    np.testing.assert_array_equal(problem.observations, windows["observations"])
    assert (problem.noise_variance == 2.0).all()


def test_variances_that_are_not_known_are_those_of_the_attribute(windows):
    told = with_variance(windows, [np.nan, 1.0, 1.0])
    assert (problem_of(told).noise_variance[..., 0] == 2.0).all()
    del told.attrs["noise_variance"]
    with pytest.raises(InputError, match="noise_variance"):
        problem_of(told)


@pytest.mark.parametrize("variance", [0.0, -1.0, np.inf])
def test_variances_that_are_none_are_refused(model, windows, variance):
    for use in (lambda data: reconstruct(model, data).states, problem_of):
        with pytest.raises(InputError, match="observation_variance"):
            use(with_variance(windows, variance))
    other = windows.assign(noise_variance=("station", [1.0]))
    with pytest.raises(InputError, match="dimensions"):
        problem_of(other)


def test_scores_of_a_permuted_truth_are_those_of_the_truth(windows):
    permuted = windows.sel(component=ORDER)
    for name in ("r_score", "fourdvar_score"):
        one, other = (score(each["truth"].values, each)[name] for each in (windows, permuted))
        assert other == pytest.approx(one)


def test_labels_of_a_model_without_a_signature_are_not_looked_at(model, windows):
    plain = load_model("l63-c-paper")
    plain.signature = None
    permuted = windows.sel(component=ORDER)
    states = reconstruct(plain, permuted).states
    np.testing.assert_array_equal(
        states, reconstruct(plain, permuted["observations"].values).states
    )
