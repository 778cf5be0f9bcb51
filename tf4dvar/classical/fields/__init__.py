"""Classical methods of fields: what a user would pick to fill the gaps of maps.

Nothing here imports TensorFlow before it is used.
"""

from tf4dvar.classical.fields.autoregressive_smoother import AutoregressiveSmoother
from tf4dvar.classical.fields.dineof import Dineof
from tf4dvar.classical.fields.method import FIELD_METHODS, FieldAnalysis, FieldMethod
from tf4dvar.classical.fields.optimal_interpolation import OptimalInterpolation
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.fields.quasi_geostrophic import QuasiGeostrophicAssimilation
from tf4dvar.classical.fields.quasi_geostrophic_smoother import QuasiGeostrophicSmoother

__all__ = [
    "FIELD_METHODS",
    "AutoregressiveSmoother",
    "Dineof",
    "FieldAnalysis",
    "FieldMethod",
    "FieldProblem",
    "OptimalInterpolation",
    "QuasiGeostrophicAssimilation",
    "QuasiGeostrophicSmoother",
]
