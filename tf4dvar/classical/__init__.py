"""Classical data assimilation: what a user would pick instead of a learned solver."""

from tf4dvar.classical.analysis import Analysis, Progress
from tf4dvar.classical.covariance import AveragedTerms, ErrorCovariances, Gaussian, climatology
from tf4dvar.classical.descent import fixed_step_descent, line_search_descent
from tf4dvar.classical.ensemble_smoother import enks
from tf4dvar.classical.first_guess import first_guess
from tf4dvar.classical.importance_sampling import Posterior, bayes_limit
from tf4dvar.classical.methods import METHODS, Task, assimilate
from tf4dvar.classical.optimal_interpolation import optimal_interpolation
from tf4dvar.classical.strong_constraint import strong, strong_quasistatic
from tf4dvar.classical.tangent_linear import OneStepModel, one_step_model
from tf4dvar.classical.weak_gauss_newton import annealing, weak_annealed, weak_gauss_newton
from tf4dvar.classical.weak_lbfgs import weak_lbfgs

__all__ = [
    "METHODS",
    "Analysis",
    "AveragedTerms",
    "ErrorCovariances",
    "Gaussian",
    "OneStepModel",
    "Posterior",
    "Progress",
    "Task",
    "annealing",
    "assimilate",
    "bayes_limit",
    "climatology",
    "enks",
    "first_guess",
    "fixed_step_descent",
    "line_search_descent",
    "one_step_model",
    "optimal_interpolation",
    "strong",
    "strong_quasistatic",
    "weak_annealed",
    "weak_gauss_newton",
    "weak_lbfgs",
]
