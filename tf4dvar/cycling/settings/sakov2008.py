"""Lorenz-96, all observed: Sakov and Oke (2008), doi:10.1175/2007MWR2021.1."""

import numpy as np

from tf4dvar.classical.cycled import LETKF, EnKF, IEnKS, ThreeDVar
from tf4dvar.cycling.benchmark import Benchmark, Case
from tf4dvar.systems import Lorenz96

SAKOV2008 = Benchmark(
    "sakov2008",
    "Lorenz-96, all 40 observed every 0.05, variance 1",
    system=Lorenz96(),
    observed=tuple(range(40)),
    every=1,
    noise_variance=1.0,
    cycles=1000,
    burn_in=400,
    start=np.eye(1, 40)[0],
    start_variance=0.001,
    cases={
        "EnKF 24": Case(EnKF(members=24, inflation=1.013), 0.18),
        "IEnKS 24": Case(IEnKS(members=24, inflation=1.013, lag=1)),
        "LETKF 7": Case(LETKF(members=7, inflation=1.04, localisation=14.0), 0.22),
        "3D-Var": Case(ThreeDVar(), 0.41),
    },
)
