"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from tf4dvar.experiments.experiment import Experiment
from tf4dvar.layers import ConvCell, Lorenz63ODE, LSTMCell, RK4Flow, TwoScaleGENN
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import Lorenz63


def true_flow() -> RK4Flow:
    """The prior of known dynamics: the true equations, not trained."""
    return RK4Flow(Lorenz63ODE(trainable=False), Lorenz63.time_step)


EXPERIMENTS = (
    Experiment(
        "l63-sup-rk4-conv",
        "known dynamics (RK4), CNN update, supervised",
        "l63",
        lambda: FourDVarNet(true_flow(), ConvCell()),
    ),
    Experiment(
        "l63-sup-rk4-lstm",
        "known dynamics (RK4), LSTM update, supervised",
        "l63",
        lambda: FourDVarNet(true_flow(), LSTMCell()),
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
