"""Lorenz-96, every other observed: Bocquet, Pires and Wu (2010), doi:10.1175/2010MWR3164.1."""

import numpy as np

from tf4dvar.classical.cycled import EnKF, IEnKS
from tf4dvar.cycling.benchmark import Benchmark, Case
from tf4dvar.systems import Lorenz96

BOCQUET2010 = Benchmark(
    "bocquet2010",
    "Lorenz-96, 20 of 40 observed every 0.05, variance 2.25",
    system=Lorenz96(),
    observed=tuple(range(0, 40, 2)),
    every=1,
    noise_variance=2.25,
    cycles=1280,
    burn_in=400,
    start=np.eye(1, 40)[0],
    start_variance=0.001,
    cases={
        "EnKF 24": Case(EnKF(members=24, inflation=1.06), 0.58),
        "IEnKS 24": Case(IEnKS(members=24, inflation=1.04, lag=2), 0.45),
    },
)
