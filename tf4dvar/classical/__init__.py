"""Classical data assimilation: what a user would pick instead of a learned solver.

Nothing here imports TensorFlow before it is used: the commands' help comes from the methods.
"""

from tf4dvar.classical.analysis import Analysis, Progress
from tf4dvar.classical.covariance import Gaussian, climatology
from tf4dvar.classical.descent import FixedStepDescent
from tf4dvar.classical.ensemble_smoother import EnKS
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.importance_sampling import ImportanceSampling
from tf4dvar.classical.method import METHODS, Method, setting
from tf4dvar.classical.optimal_interpolation import OptimalInterpolation, optimal_interpolation
from tf4dvar.classical.problem import Problem
from tf4dvar.classical.stationarity import Stationary, stationary
from tf4dvar.classical.strong import Strong
from tf4dvar.classical.strong_multistart import StrongMultistart
from tf4dvar.classical.strong_quasistatic import StrongQuasistatic
from tf4dvar.classical.tangent_linear import OneStepModel, one_step_model
from tf4dvar.classical.weak_annealed import WeakAnnealed
from tf4dvar.classical.weak_gauss_newton import WeakGaussNewton
from tf4dvar.classical.weak_lbfgs import WeakLBFGS

__all__ = [
    "METHODS",
    "Analysis",
    "EnKS",
    "FixedStepDescent",
    "Gaussian",
    "ImportanceSampling",
    "Method",
    "OneStepModel",
    "OptimalInterpolation",
    "Problem",
    "Progress",
    "Stationary",
    "Strong",
    "StrongMultistart",
    "StrongQuasistatic",
    "WeakAnnealed",
    "WeakGaussNewton",
    "WeakLBFGS",
    "climatology",
    "first_guess",
    "one_step_model",
    "optimal_interpolation",
    "setting",
    "stationary",
]
