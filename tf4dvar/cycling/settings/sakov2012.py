"""Lorenz-63, all observed: Sakov, Oliver and Bertino (2012), doi:10.1175/MWR-D-11-00176.1."""

import numpy as np

from tf4dvar.classical.cycled import EnKF, IEnKS, ParticleFilter, ThreeDVar
from tf4dvar.cycling.benchmark import Benchmark, Case
from tf4dvar.systems import Lorenz63

SAKOV2012 = Benchmark(
    "sakov2012",
    "Lorenz-63, all 3 observed every 0.25, variance 2",
    system=Lorenz63(),
    observed=(0, 1, 2),
    every=25,
    noise_variance=2.0,
    cycles=1000,
    burn_in=64,
    start=np.array([1.509, -1.531, 25.46]),
    start_variance=2.0,
    cases={
        "3D-Var": Case(ThreeDVar(scale=0.1), 1.04),
        "EnKF 10": Case(EnKF(members=10, inflation=1.02), 0.60),
        "IEnKS 10": Case(IEnKS(members=10, inflation=1.02, lag=1), 0.31),
        "particles 4000": Case(ParticleFilter(members=4000), 0.27),
    },
)
