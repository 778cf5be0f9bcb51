"""Filters: the state of now, again and again, from what was observed until now."""

from tf4dvar.classical.cycled.ensemble_filters import LETKF, EnKF
from tf4dvar.classical.cycled.filter import FILTERS, Estimate, Filter, Position
from tf4dvar.classical.cycled.gaussian_filters import ExtendedKalmanFilter, ThreeDVar
from tf4dvar.classical.cycled.iterative_smoother import IEnKS
from tf4dvar.classical.cycled.particle_filter import ParticleFilter

__all__ = [
    "FILTERS",
    "LETKF",
    "EnKF",
    "Estimate",
    "ExtendedKalmanFilter",
    "Filter",
    "IEnKS",
    "ParticleFilter",
    "Position",
    "ThreeDVar",
]
