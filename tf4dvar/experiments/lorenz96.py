"""The rows of Table 2: Lorenz-96, half of its components observed every fourth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import (
    ONE_BY_ONE,
    UNSUPERVISED_WEIGHTS,
    Experiment,
    PaperScores,
)
from tf4dvar.layers import PlaneConvCell, PlaneGENN, PlaneLSTMCell
from tf4dvar.models import FourDVarNet

_Unsupervised = partial(FourDVarNet, loss="unsupervised", loss_weights=UNSUPERVISED_WEIGHTS)
# Small batches: a window is a field of 8000 values, and few of them stay in a cache.
_Row = partial(
    Experiment,
    system="l96",
    windows=2000,
    batch_size=16,
    learning_rate=5e-3,
    stages=ONE_BY_ONE,
    protocol="T",
)
# An iteration with this prior costs ten of those with the known dynamics: fewer of them, in smaller
# batches, and epochs of a minute or two instead of ten.
_GENNRow = partial(_Row, batch_size=4, steps_per_epoch=50, epochs=200, stages=((0.0, 5), (0.2, 10)))

EXPERIMENTS = (
    _Row(
        "l96-none-rk4-fsgd",
        "known dynamics (RK4), fixed-step gradient descent, nothing learned",
        build=None,
        paper=PaperScores(r_score=1.06),
    ),
    _Row(
        "l96-unsup-rk4-conv",
        "known dynamics (RK4), CNN update, unsupervised",
        build=lambda: _Unsupervised(true_flow("l96"), PlaneConvCell()),
    ),
    _Row(
        "l96-unsup-rk4-lstm",
        "known dynamics (RK4), LSTM update, unsupervised",
        build=lambda: _Unsupervised(true_flow("l96"), PlaneLSTMCell()),
    ),
    _GENNRow(
        "l96-unsup-genn-conv",
        "GENN prior identified from states, CNN update, unsupervised",
        build=lambda: _Unsupervised(PlaneGENN(), PlaneConvCell()),
        identification_epochs=10,
    ),
    _GENNRow(
        "l96-unsup-genn-lstm",
        "GENN prior identified from states, LSTM update, unsupervised",
        build=lambda: _Unsupervised(PlaneGENN(), PlaneLSTMCell()),
        identification_epochs=10,
    ),
    _Row(
        "l96-sup-rk4-conv",
        "known dynamics (RK4), CNN update, supervised",
        build=lambda: FourDVarNet(true_flow("l96"), PlaneConvCell()),
    ),
    _Row(
        "l96-sup-rk4-lstm",
        "known dynamics (RK4), LSTM update, supervised",
        build=lambda: FourDVarNet(true_flow("l96"), PlaneLSTMCell()),
    ),
    _GENNRow(
        "l96-sup-genn-conv",
        "GENN prior learned jointly with the CNN update, supervised",
        build=lambda: FourDVarNet(PlaneGENN(), PlaneConvCell()),
    ),
    _GENNRow(
        "l96-sup-genn-lstm",
        "GENN prior learned jointly with the LSTM update, supervised",
        build=lambda: FourDVarNet(PlaneGENN(), PlaneLSTMCell()),
        # The best row of the paper, for hours: more iterations brought more than more steps.
        stages=((0.0, 5), (0.1, 10), (0.6, 20)),
        paper=PaperScores(r_score=0.38),
    ),
)
