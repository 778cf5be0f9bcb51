"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import (
    ONE_BY_ONE,
    UNSUPERVISED_WEIGHTS,
    Experiment,
    PaperScores,
)
from tf4dvar.layers import ConvCell, LSTMCell, TwoScaleGENN
from tf4dvar.models import FourDVarNet

# In small batches, which stay in the cache, iterations computed twice are faster than remembered.
_Net = partial(FourDVarNet, recompute=True)
_Unsupervised = partial(_Net, loss="unsupervised", loss_weights=UNSUPERVISED_WEIGHTS)
# Small batches: in the same time they learn more by many small steps than by few large ones. An
# epoch is a fifth of the windows, some ten seconds.
_Row = partial(Experiment, system="l63", batch_size=16, steps_per_epoch=125, epochs=200)

EXPERIMENTS = (
    _Row(
        "l63-none-rk4-fsgd",
        "known dynamics (RK4), fixed-step gradient descent, nothing learned",
        build=None,
        paper=PaperScores(r_score=3.55),
    ),
    _Row(
        "l63-unsup-rk4-conv",
        "known dynamics (RK4), CNN update, unsupervised",
        build=lambda: _Unsupervised(true_flow("l63"), ConvCell()),
        stages=ONE_BY_ONE,
    ),
    _Row(
        "l63-unsup-rk4-lstm",
        "known dynamics (RK4), LSTM update, unsupervised",
        build=lambda: _Unsupervised(true_flow("l63"), LSTMCell()),
    ),
    _Row(
        "l63-unsup-genn-conv",
        "GENN prior identified from states, CNN update, unsupervised",
        build=lambda: _Unsupervised(TwoScaleGENN(), ConvCell()),
        identification_epochs=10,
    ),
    _Row(
        "l63-unsup-genn-lstm",
        "GENN prior identified from states, LSTM update, unsupervised",
        build=lambda: _Unsupervised(TwoScaleGENN(), LSTMCell()),
        identification_epochs=10,
    ),
    _Row(
        "l63-sup-rk4-conv",
        "known dynamics (RK4), CNN update, supervised",
        build=lambda: _Net(true_flow("l63"), ConvCell()),
        stages=ONE_BY_ONE,
    ),
    _Row(
        "l63-sup-rk4-lstm",
        "known dynamics (RK4), LSTM update, supervised",
        build=lambda: _Net(true_flow("l63"), LSTMCell()),
    ),
    _Row(
        "l63-sup-genn-conv",
        "GENN prior learned jointly with the CNN update, supervised",
        build=lambda: _Net(TwoScaleGENN(), ConvCell()),
        paper=PaperScores(r_score=1.34),
    ),
    _Row(
        "l63-sup-genn-lstm",
        "GENN prior learned jointly with the LSTM update, supervised",
        build=lambda: _Net(TwoScaleGENN(), LSTMCell()),
        paper=PaperScores(r_score=1.62),
    ),
)
