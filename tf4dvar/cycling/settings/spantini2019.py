"""Lorenz-96, every other observed, rarely: Spantini et al. (2022), doi:10.1137/20M1312204."""

import numpy as np

from tf4dvar.classical.cycled import LETKF, IEnKS
from tf4dvar.cycling.benchmark import Benchmark, Case
from tf4dvar.systems import Lorenz96

SPANTINI2019 = Benchmark(
    "spantini2019",
    "Lorenz-96, 20 of 40 observed every 0.4, variance 0.5",
    system=Lorenz96().with_time_step(0.02),
    observed=tuple(range(0, 40, 2)),
    every=20,
    noise_variance=0.5,
    cycles=2000,
    burn_in=100,
    start=np.eye(1, 40)[0],
    start_variance=1.0,
    cases={
        "LETKF 100": Case(LETKF(members=100, inflation=1.05, localisation=14.0), 0.84),
        "IEnKS 100": Case(IEnKS(members=100, inflation=1.05, lag=1, adaptive_inflation=0.01), 0.43),
    },
)
