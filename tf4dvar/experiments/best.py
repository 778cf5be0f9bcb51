"""The models that go beyond the paper's tables; see docs/training-log.md."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import Experiment
from tf4dvar.layers import (
    GENN,
    AttentionFirstGuess,
    BilinearODE,
    EachTime,
    FilterFirstGuess,
    FixedStepCell,
    GaussianPosterior,
    GradientSolver,
    LSTMCell,
    PeriodicFirstGuess,
    RK4Flow,
    TrajectorySolver,
)
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63


def _attentive() -> FourDVarNet:
    return FourDVarNet(GENN(), GradientSolver(LSTMCell()), first_guess=AttentionFirstGuess())


def _of_any_pattern() -> FourDVarNet:
    # How large errors are, of the guess or of the whole, changes slowly: in long segments it is
    # half the price. Those of Lorenz-63 grow along one direction, and the guess is off by some
    # more.
    of_errors = partial(AttentionFirstGuess, 20, weighted=True, background=True)
    network = of_errors(width=64, depth=3, outputs=7)
    return FourDVarNet(
        true_flow("l63"),
        TrajectorySolver(of_errors(width=32, depth=2, outputs=2)),
        first_guess=AttentionFirstGuess(weighted=True),
        noise_variance=2.0,
        uncertainty=GaussianPosterior(network),
    )


# The first guess alone at first (K = 0), then with the solver that refines it.
_Lorenz63 = partial(
    Experiment,
    system="l63",
    build=_attentive,
    setting="sup",
    prior="genn",
    update="lstm",
    fresh=True,
    batch_size=64,
    steps_per_epoch=156,
    epochs=600,
    learning_rate=1.5e-3,
    warm_up=0.02,
    stages=((0.0, 0), (0.5, 5)),
)


def _of_any_pattern_on_a_circle() -> FourDVarNet:
    of_errors = partial(PeriodicFirstGuess, 10, width=32, depth=3, weighted=True, background=True)
    return FourDVarNet(
        true_flow("l96"),
        TrajectorySolver(of_errors(outputs=2), segment=10),
        first_guess=PeriodicFirstGuess(weighted=True),
        noise_variance=2.0,
        uncertainty=GaussianPosterior(of_errors(outputs=3)),
    )


def _cycled(flow, network, sure) -> FourDVarNet:
    return FourDVarNet(
        flow,
        GradientSolver(FixedStepCell(0.1), iterations=0),
        first_guess=FilterFirstGuess(network(outputs=1)),
        noise_variance=1.0,
        uncertainty=GaussianPosterior(EachTime(sure(outputs=2))),
    )


def _cycled_lorenz63(flow=None) -> FourDVarNet:
    network = partial(AttentionFirstGuess, segment=1, weighted=True, background=True)
    return _cycled(
        flow or true_flow("l63"),
        partial(network, width=64, depth=3),
        partial(network, width=32, depth=2),
    )


def _cycled_on_a_learned_flow() -> FourDVarNet:
    return _cycled_lorenz63(RK4Flow(BilinearODE(), Lorenz63.time_step))


def _cycled_lorenz96() -> FourDVarNet:
    network = partial(
        PeriodicFirstGuess, segment=1, weighted=True, background=True, kernel_size=(1, 5)
    )
    return _cycled(
        true_flow("l96"),
        partial(network, width=32, depth=4),
        partial(network, width=16, depth=2),
    )


_Cycled = partial(
    Experiment,
    setting="sup",
    prior="rk4",
    update="fsgd",
    cycled=True,
    windows=12_288,
    epochs=200,
    steps=64,
    learning_rate=1e-3,
    warm_up=0.02,
    stages=((0.0, 0),),
    protocol="cycles",
)

_CycledLorenz96 = partial(_Cycled, system="l96", build=_cycled_lorenz96, windows=49_152)


EXPERIMENTS = (
    _Lorenz63(
        "l63",
        "any pattern of observation and any noise, with error bars; known dynamics (RK4)",
        build=_of_any_pattern,
        prior="rk4",
        batch_size=32,
        steps_per_epoch=312,
        learning_rate=1e-3,
        update="trajectory",
        # More iterations at the end, for guesses that are far off; earlier they would cost time.
        stages=((0.0, 0), (0.3, 2), (0.95, 4)),
        protocol="any",
    ),
    _Lorenz63("l63-c", "learned first guess and solver, fresh windows, protocol C"),
    _Lorenz63("l63-t", "learned first guess and solver, fresh windows, protocol T", protocol="T"),
    Experiment(
        "l96",
        "any pattern of observation and any noise, with error bars; known dynamics (RK4)",
        system="l96",
        build=_of_any_pattern_on_a_circle,
        setting="sup",
        prior="rk4",
        update="trajectory",
        fresh=True,
        windows=1000,
        batch_size=4,
        epochs=400,
        learning_rate=2e-3,
        warm_up=0.02,
        stages=((0.0, 0), (0.45, 3), (0.95, 4)),
        protocol="any",
    ),
    _Cycled(
        "l63-cycle",
        "a learned filter on the known dynamics (RK4), all observed every 25 steps",
        system="l63",
        build=_cycled_lorenz63,
        batch_size=256,
    ),
    _Cycled(
        "l63-cycle-flow",
        "a learned filter on a flow that was learned, all observed every 25 steps",
        system="l63",
        build=_cycled_on_a_learned_flow,
        prior="bilinear",
        identification_epochs=50,
        batch_size=256,
    ),
    _CycledLorenz96(
        "l96-cycle", "a learned filter on the known dynamics (RK4), all observed at every step"
    ),
    _CycledLorenz96(
        "l96-cycle-half",
        "a learned filter on the known dynamics (RK4), every other observed at every step",
        protocol="cycles-half",
    ),
    _CycledLorenz96(
        "l96-cycle-rare",
        "a learned filter on the known dynamics (RK4), every other observed every 8 steps",
        protocol="cycles-rare",
    ),
)
