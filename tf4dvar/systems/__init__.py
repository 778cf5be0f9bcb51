"""Nature: dynamical systems and their simulation, in NumPy and SciPy alone."""

from tf4dvar.systems.kuramoto_sivashinsky import KuramotoSivashinsky
from tf4dvar.systems.lorenz63 import Lorenz63
from tf4dvar.systems.lorenz96 import Lorenz96
from tf4dvar.systems.quasi_geostrophic import QuasiGeostrophic, StirredTemperature
from tf4dvar.systems.random_streams import TEST_SEED, random_stream
from tf4dvar.systems.simulation import (
    covariates_of_steps,
    sample_windows,
    trajectories,
    trajectories_rk45,
    windows_from,
)
from tf4dvar.systems.system import SYSTEMS, System, system_by_name

__all__ = [
    "SYSTEMS",
    "TEST_SEED",
    "KuramotoSivashinsky",
    "Lorenz63",
    "Lorenz96",
    "QuasiGeostrophic",
    "StirredTemperature",
    "System",
    "covariates_of_steps",
    "random_stream",
    "sample_windows",
    "system_by_name",
    "trajectories",
    "trajectories_rk45",
    "windows_from",
]
