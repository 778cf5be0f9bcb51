"""The paper's equations as Keras layers, one concept a file."""

from tf4dvar.layers.contracts import ODE, FirstGuess, ObservationOperator, Prior, Update
from tf4dvar.layers.cost import VariationalCost
from tf4dvar.layers.first_guesses.attention import AttentionFirstGuess
from tf4dvar.layers.first_guesses.each_time import EachTime
from tf4dvar.layers.first_guesses.filter import FilterFirstGuess
from tf4dvar.layers.first_guesses.interpolation import LinearInterpolation
from tf4dvar.layers.first_guesses.nearest import NearestFirstGuess
from tf4dvar.layers.first_guesses.optimal_interpolation import OptimalInterpolation
from tf4dvar.layers.first_guesses.periodic import PeriodicFirstGuess
from tf4dvar.layers.first_guesses.unet import UNetFirstGuess
from tf4dvar.layers.gaussian_posterior import GaussianPosterior
from tf4dvar.layers.gradient import CostGradient
from tf4dvar.layers.iterations import Iterates, Solver
from tf4dvar.layers.kernels.bilinear_convolutions import BilinearConvolutions
from tf4dvar.layers.kernels.convolution import Convolution
from tf4dvar.layers.kernels.periodic_block import PeriodicBlock
from tf4dvar.layers.kernels.transformer_block import TransformerBlock
from tf4dvar.layers.normalisation import Normalisation, NormalisedPrior
from tf4dvar.layers.observation_operators import LinearObservation, NormalisedObservation
from tf4dvar.layers.odes.bilinear import BilinearODE, Lorenz63ODE
from tf4dvar.layers.odes.function import FunctionODE, ode_layer
from tf4dvar.layers.odes.lorenz96 import Lorenz96ODE
from tf4dvar.layers.odes.quasi_geostrophic import QuasiGeostrophicODE
from tf4dvar.layers.odes.system import SystemODE
from tf4dvar.layers.priors.autoencoder import AutoEncoder
from tf4dvar.layers.priors.bilinear_autoencoder import BilinearAutoEncoder
from tf4dvar.layers.priors.flow import EulerFlow, OneStepFlow, RK4Flow, SystemFlow
from tf4dvar.layers.priors.gibbs_energy import GENN, BilinearBlock
from tf4dvar.layers.priors.periodic_gibbs_energy import PeriodicBilinearBlock, PeriodicGENN
from tf4dvar.layers.priors.quasi_geostrophic import QuasiGeostrophicFlow
from tf4dvar.layers.solver import GradientSolver
from tf4dvar.layers.trajectory_solver import TrajectorySolver
from tf4dvar.layers.updates.conv import ConvCell
from tf4dvar.layers.updates.fixed_step import FixedStepCell
from tf4dvar.layers.updates.lstm import LSTMCell
from tf4dvar.layers.updates.segment import SegmentCell

__all__ = [
    "GENN",
    "ODE",
    "AttentionFirstGuess",
    "AutoEncoder",
    "BilinearAutoEncoder",
    "BilinearBlock",
    "BilinearConvolutions",
    "BilinearODE",
    "ConvCell",
    "Convolution",
    "CostGradient",
    "EachTime",
    "EulerFlow",
    "FilterFirstGuess",
    "FirstGuess",
    "FixedStepCell",
    "FunctionODE",
    "GaussianPosterior",
    "GradientSolver",
    "Iterates",
    "LSTMCell",
    "LinearInterpolation",
    "LinearObservation",
    "Lorenz63ODE",
    "Lorenz96ODE",
    "NearestFirstGuess",
    "Normalisation",
    "NormalisedObservation",
    "NormalisedPrior",
    "ObservationOperator",
    "OneStepFlow",
    "OptimalInterpolation",
    "PeriodicBilinearBlock",
    "PeriodicBlock",
    "PeriodicFirstGuess",
    "PeriodicGENN",
    "Prior",
    "QuasiGeostrophicFlow",
    "QuasiGeostrophicODE",
    "RK4Flow",
    "SegmentCell",
    "Solver",
    "SystemFlow",
    "SystemODE",
    "TrajectorySolver",
    "TransformerBlock",
    "UNetFirstGuess",
    "Update",
    "VariationalCost",
    "ode_layer",
]
