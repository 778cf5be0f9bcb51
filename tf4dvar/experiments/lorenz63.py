"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import Experiment
from tf4dvar.layers import ConvCell, LSTMCell, TwoScaleGENN
from tf4dvar.models import FourDVarNet

EXPERIMENTS = (
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
    ),
    Experiment(
        "l63-sup-genn-lstm",
        "GENN prior learned jointly with the LSTM update, supervised",
        "l63",
        lambda: FourDVarNet(TwoScaleGENN(), LSTMCell()),
    ),
)
