"""The paper's equations as Keras layers, one concept a file."""

from tf4dvar.layers.conv_cell import ConvCell
from tf4dvar.layers.cost import VariationalCost
from tf4dvar.layers.first_guess import LinearInterpolation
from tf4dvar.layers.fixed_step_cell import FixedStepCell
from tf4dvar.layers.flow import EulerFlow, OneStepFlow, RK4Flow
from tf4dvar.layers.genn import BilinearBlock, TwoScaleGENN
from tf4dvar.layers.gradient import CostGradient
from tf4dvar.layers.lstm_cell import LSTMCell
from tf4dvar.layers.ode import BilinearODE, Lorenz63ODE
from tf4dvar.layers.scaling import NormalisedPrior, Scaling
from tf4dvar.layers.solver import GradientSolver, Pathway

__all__ = [
    "BilinearBlock",
    "BilinearODE",
    "ConvCell",
    "CostGradient",
    "EulerFlow",
    "FixedStepCell",
    "GradientSolver",
    "LSTMCell",
    "LinearInterpolation",
    "Lorenz63ODE",
    "NormalisedPrior",
    "OneStepFlow",
    "Pathway",
    "RK4Flow",
    "Scaling",
    "TwoScaleGENN",
    "VariationalCost",
]
