"""The paper's equations as Keras layers, one concept a file."""

from tf4dvar.layers.attention_first_guess import AttentionFirstGuess
from tf4dvar.layers.autoencoder import AutoEncoder
from tf4dvar.layers.conv_cell import ConvCell
from tf4dvar.layers.cost import VariationalCost
from tf4dvar.layers.fixed_step_cell import FixedStepCell
from tf4dvar.layers.flow import EulerFlow, OneStepFlow, RK4Flow
from tf4dvar.layers.function_ode import FunctionODE, ode_layer
from tf4dvar.layers.genn import BilinearBlock, TwoScaleGENN
from tf4dvar.layers.gradient import CostGradient
from tf4dvar.layers.linear_interpolation import LinearInterpolation
from tf4dvar.layers.lorenz96_ode import Lorenz96ODE
from tf4dvar.layers.lstm_cell import LSTMCell
from tf4dvar.layers.observation import LinearObservation, NormalisedObservation
from tf4dvar.layers.ode import BilinearODE, Lorenz63ODE
from tf4dvar.layers.one_scale_genn import OneScaleGENN
from tf4dvar.layers.plane import PlaneConv
from tf4dvar.layers.plane_block import PlaneBlock
from tf4dvar.layers.plane_cells import PlaneConvCell, PlaneLSTMCell
from tf4dvar.layers.plane_first_guess import PlaneFirstGuess
from tf4dvar.layers.plane_genn import PlaneBilinearBlock, PlaneGENN
from tf4dvar.layers.plane_slot_cell import PlaneSlotCell
from tf4dvar.layers.scaling import NormalisedPrior, Scaling
from tf4dvar.layers.solver import GradientSolver, Pathway
from tf4dvar.layers.transformer_block import TransformerBlock

__all__ = [
    "AttentionFirstGuess",
    "AutoEncoder",
    "BilinearBlock",
    "BilinearODE",
    "ConvCell",
    "CostGradient",
    "EulerFlow",
    "FixedStepCell",
    "FunctionODE",
    "GradientSolver",
    "LSTMCell",
    "LinearInterpolation",
    "LinearObservation",
    "Lorenz63ODE",
    "Lorenz96ODE",
    "NormalisedObservation",
    "NormalisedPrior",
    "OneScaleGENN",
    "OneStepFlow",
    "Pathway",
    "PlaneBilinearBlock",
    "PlaneBlock",
    "PlaneConv",
    "PlaneConvCell",
    "PlaneFirstGuess",
    "PlaneGENN",
    "PlaneLSTMCell",
    "PlaneSlotCell",
    "RK4Flow",
    "Scaling",
    "TransformerBlock",
    "TwoScaleGENN",
    "VariationalCost",
    "ode_layer",
]
