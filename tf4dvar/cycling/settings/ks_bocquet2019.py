"""Kuramoto-Sivashinsky, all observed: Bocquet et al. (2019), doi:10.5194/npg-26-143-2019."""

import numpy as np

from tf4dvar.classical.cycled import LETKF
from tf4dvar.cycling.benchmark import Benchmark, Case
from tf4dvar.systems import KuramotoSivashinsky

SYSTEM = KuramotoSivashinsky()
# Where Kassam and Trefethen (2005) begin, on the attractor long before the burn-in ends.
X = SYSTEM.length / 128 * np.arange(128)

KS_BOCQUET2019 = Benchmark(
    "ks-bocquet2019",
    "Kuramoto-Sivashinsky, 128 points observed every 1, variance 1",
    system=SYSTEM,
    observed=tuple(range(128)),
    every=2,
    noise_variance=1.0,
    cycles=20_000,
    burn_in=2000,
    start=np.cos(X / 16) * (1 + np.sin(X / 16)),
    start_variance=0.1,
    cases={
        "LETKF 4": Case(LETKF(members=4, inflation=1.1, localisation=32.0), 0.18),
        "LETKF 6": Case(LETKF(members=6, inflation=1.06, localisation=32.0), 0.14),
        "LETKF 16": Case(LETKF(members=16, inflation=1.02, localisation=50.0), 0.11),
    },
)
