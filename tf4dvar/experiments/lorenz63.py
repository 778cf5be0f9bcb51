"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import Experiment, PaperScores
from tf4dvar.layers import ConvCell, LSTMCell, TwoScaleGENN
from tf4dvar.models import FourDVarNet

EXPERIMENTS = (
    Experiment(
        "l63-none-rk4-fsgd",
        "known dynamics (RK4), fixed-step gradient descent, nothing learned",
        "l63",
        None,
        paper=PaperScores(r_score=3.55),
    ),
    Experiment(
        "l63-unsup-rk4-conv",
        "known dynamics (RK4), CNN update, unsupervised",
        "l63",
        lambda: FourDVarNet(true_flow("l63"), ConvCell(), loss="unsupervised"),
    ),
    Experiment(
        "l63-unsup-rk4-lstm",
        "known dynamics (RK4), LSTM update, unsupervised",
        "l63",
        lambda: FourDVarNet(true_flow("l63"), LSTMCell(), loss="unsupervised"),
    ),
    Experiment(
        "l63-unsup-genn-conv",
        "GENN prior identified from states, CNN update, unsupervised",
        "l63",
        lambda: FourDVarNet(TwoScaleGENN(), ConvCell(), loss="unsupervised"),
        identification_epochs=10,
    ),
    Experiment(
        "l63-unsup-genn-lstm",
        "GENN prior identified from states, LSTM update, unsupervised",
        "l63",
        lambda: FourDVarNet(TwoScaleGENN(), LSTMCell(), loss="unsupervised"),
        identification_epochs=10,
    ),
    Experiment(
        "l63-sup-rk4-conv",
        "known dynamics (RK4), CNN update, supervised",
        "l63",
        lambda: FourDVarNet(true_flow("l63"), ConvCell()),
    ),
    Experiment(
        "l63-sup-rk4-lstm",
        "known dynamics (RK4), LSTM update, supervised",
        "l63",
        lambda: FourDVarNet(true_flow("l63"), LSTMCell()),
    ),
    Experiment(
        "l63-sup-genn-conv",
        "GENN prior learned jointly with the CNN update, supervised",
        "l63",
        lambda: FourDVarNet(TwoScaleGENN(), ConvCell()),
        paper=PaperScores(r_score=1.34),
    ),
    Experiment(
        "l63-sup-genn-lstm",
        "GENN prior learned jointly with the LSTM update, supervised",
        "l63",
        lambda: FourDVarNet(TwoScaleGENN(), LSTMCell()),
        paper=PaperScores(r_score=1.62),
    ),
)
