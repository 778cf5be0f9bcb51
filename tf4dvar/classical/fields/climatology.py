"""Heights of quasi-geostrophic turbulence, as a climatology where none is given."""

import logging
from dataclasses import replace
from functools import lru_cache
from itertools import islice

import numpy as np

from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic, random_stream
from tf4dvar.systems.quasi_geostrophic import DAY

# Of the simulated box: points along a side, and within a deformation radius.
POINTS, RESOLUTION = 64, 2
# Radius and shear for which a step of an hour is right; with others eddies take other times.
RADIUS, SHEAR = 30e3, 0.1
# In steps: until eddies have forgotten how they began, and between two samples of them.
SPIN_UP, APART, SAMPLES = 14_400, 240, 40
SUCCESSIVE = 3
"""Heights of each sample, a day apart."""

logger = logging.getLogger(__name__)


@lru_cache(maxsize=8)
def simulated_heights(system: QuasiGeostrophic) -> tuple[np.ndarray, float]:
    """Heights of both layers of a system, once they are turbulent.

    It takes half a minute, once in a process.

    Args:
        system: its box, its number of layers and its time step do not count.

    Returns:
        Some samples of three days, [sample, day, layer, y, x], m; and the spacing of points, m.

    Raises:
        InputError: the layers flow alike, so that nothing becomes turbulent; or all becomes so much
            that it is not finite.
    """
    shear = abs(system.flows[0] - system.flows[1])
    if not shear > 0:
        raise InputError(
            "Received layers that flow alike; expected a shear, by which eddies grow. A single "
            "layer needs none if there are states to learn from."
        )
    step = 3600 * SHEAR / shear * system.deformation_radius / RADIUS
    step = DAY / np.ceil(DAY / step)
    spacing = system.deformation_radius / RESOLUTION
    system = replace(system, layers=2, points=POINTS, length=POINTS * spacing, time_step=step)
    logger.info("Simulating the climatology of %s", system)
    spin_up, apart = (int(np.ceil(steps * step / DAY)) for steps in (SPIN_UP, APART))
    apart = max(apart, SUCCESSIVE)
    days = system.days(system.initial(1, random_stream("climatology", 0)))
    with np.errstate(over="ignore", invalid="ignore"):
        sampled = [
            system.heights(state)[0]
            for day, state in enumerate(islice(days, spin_up, spin_up + SAMPLES * apart))
            if day % apart < SUCCESSIVE
        ]
    if not np.isfinite(sampled).all():
        raise InputError(
            f"{system} is not finite after some time. Take another deformation radius or shear."
        )
    return np.reshape(sampled, (-1, SUCCESSIVE, *sampled[0].shape)), spacing
