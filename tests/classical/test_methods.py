from dataclasses import FrozenInstanceError, dataclass, fields, replace

import numpy as np
import pytest

from tf4dvar.classical import (
    METHODS,
    EnKS,
    FixedStepDescent,
    Method,
    Problem,
    Strong,
    WeakAnnealed,
    WeakGaussNewton,
    WeakLBFGS,
    setting,
)
from tf4dvar.errors import InputError
from tf4dvar.systems import Lorenz63

QUICK = {
    "fsgd": {"steps": 5},
    "enks": {"members": 20},
    "oi": {"training_windows": 50},
    "strong-multistart": {"starts": 2},
    "importance-sampling": {"samples": 1},
}


@pytest.fixture(scope="module")
def problem(few, flow):
    return Problem(few[:2], flow, 2.0, system=Lorenz63())


@pytest.mark.long
@pytest.mark.parametrize("name", METHODS)
def test_every_method_gives_a_whole_analysis(name, problem):
    reports = []
    method = METHODS[name](**QUICK.get(name, {}))
    analysis = method.analyse(problem, lambda *done: reports.append(done))
    assert analysis.states.shape == problem.observations.shape
    assert np.isfinite(analysis.states).all()
    for field in (analysis.costs, analysis.iterations, analysis.converged):
        assert field.shape == (2,)
    assert analysis.seconds_per_window > 0
    assert (analysis.spread is not None) == (name in ("enks", "importance-sampling"))
    done, total = reports[-1]
    assert done == total


@pytest.mark.parametrize("name", METHODS)
def test_every_method_tells_itself_and_does_not_change(name):
    method = METHODS[name]()
    assert method.name == name
    assert 10 < len(method.summary()) < 80
    assert method.summary().endswith(".")
    for each in fields(method):
        assert each.metadata["help"].endswith(".")
        with pytest.raises(FrozenInstanceError):
            setattr(method, each.name, each.default)
    assert method == METHODS[name]()


@pytest.mark.long
def test_a_given_model_error_weighs_by_covariances(problem):
    averaged, weighted = (
        WeakGaussNewton(model_error_variance=variance).analyse(problem).costs
        for variance in (None, 1e-3)
    )
    assert np.all(weighted > 100 * averaged)


def test_a_first_guess_is_used_or_refused(problem):
    again = problem.with_first_guess(WeakGaussNewton().analyse(problem).states)
    assert np.all(WeakGaussNewton().analyse(again).iterations == 1)
    with pytest.raises(InputError, match=r"enks takes no first guess; .*weak-annealed"):
        EnKS().analyse(again)


@pytest.mark.parametrize(
    ("method", "settings", "expected"),
    [
        (EnKS, {"members": 1}, "members=1; expected an integer of 2 or more"),
        (EnKS, {"members": 2.5}, "members=2.5; expected an integer of 2 or more"),
        (EnKS, {"members": "many"}, "members='many'; expected an integer"),
        (EnKS, {"members": True}, "members=True; expected an integer"),
        (EnKS, {"members": None}, "members=None; expected an integer"),
        (EnKS, {"inflation": 0.0}, "inflation=0.0; expected a positive, finite number"),
        (EnKS, {"inflation": np.nan}, "inflation=nan; expected a positive, finite number"),
        (EnKS, {"square_root": 1}, "square_root=1; expected True or False"),
        (EnKS, {"seed": -1}, "seed=-1; expected an integer of 0 or more"),
        (FixedStepDescent, {"steps": 0}, "steps=0; expected an integer of 1 or more"),
        (WeakAnnealed, {"first": 0.0}, "first=0.0; expected a positive"),
        (WeakLBFGS, {"observation_weight": np.inf}, "observation_weight=inf; expected a positive"),
        (
            WeakLBFGS,
            {"model_error_variance": -1.0},
            "model_error_variance=-1.0; expected a positive",
        ),
    ],
)
def test_settings_are_checked_when_they_are_given(method, settings, expected):
    with pytest.raises(InputError) as error:
        method(**settings)
    assert expected in str(error.value)


def test_numpy_numbers_are_numbers():
    method = EnKS(members=np.int64(20), inflation=np.float32(1.5), square_root=np.bool_(True))
    assert method.members == 20


def test_a_method_is_known_as_soon_as_it_is_defined():
    def define(label):
        @dataclass(frozen=True)
        class Zero(Method):
            """Nothing at all."""

            name = "zero"
            scale: float = setting(1.0, f"{label}.")

        return Zero

    assert define("once") is METHODS["zero"]
    # As a cell of a notebook that is run again.
    assert define("twice") is METHODS["zero"]
    with pytest.raises(ValueError, match="'zero' twice"):

        class Other(Method):
            name = "zero"

    del METHODS["zero"]


def test_what_a_method_needs_it_asks_for(problem, few):
    for missing, method, message in (
        ({"system": None}, Strong(), "background"),
        ({"system": None}, METHODS["oi"](), "system"),
        ({"flow": None}, Strong(), "flow"),
        ({"noise_variance": 0.0}, Strong(), "noise variance of 0"),
    ):
        with pytest.raises(InputError, match=message):
            method.analyse(replace(problem, **missing))


@pytest.mark.parametrize(
    ("noise", "message"),
    [
        (-1.0, "noise variance -1"),
        (np.inf, "noise variance inf"),
        (np.nan, "noise variance nan"),
        (np.ones(2), r"noise variance of shape \(2,\)"),
        (np.zeros((1, 1, 3, 3)), "covariance"),
    ],
)
def test_noise_that_cannot_be_is_refused(problem, noise, message):
    with pytest.raises(InputError, match=message):
        replace(problem, noise_variance=noise)


def test_the_noise_of_what_is_not_observed_does_not_matter(problem):
    unknown = np.where(problem.observed, 2.0, np.nan)
    same = Strong().analyse(replace(problem, noise_variance=unknown))
    np.testing.assert_array_equal(same.states, Strong().analyse(problem).states)


def test_a_first_guess_has_to_fit(problem):
    for guess in (np.zeros((2, 10, 3)), np.full(problem.shape, np.nan)):
        with pytest.raises(InputError, match="Received a first guess of shape"):
            problem.with_first_guess(guess)
