"""The quasi-geostrophic systems beside an independent model of the same equations."""

from itertools import islice, pairwise

import numpy as np
import pytest
from scipy import fft

from tests.systems.finite_difference_qg import FiniteDifferenceQG
from tf4dvar.systems.quasi_geostrophic import DAY, StirredTemperature

SEA = {
    "length": 6e5,
    "deformation_radius": 40e3,
    "thickness_ratio": 0.4,
    "flows": (0.1, -0.03),
    "beta": 2e-11,
    "drag": 2e-6,
    "gradient": -1e-5,
}
COARSEST, DAYS = 24, 4


def few_waves(points, layers):
    """Stream functions, [layer, y, x], m^2/s, with speeds of 0.3 m/s; and a tracer, [y, x]."""
    x, y = np.meshgrid(*2 * [2 * np.pi * np.arange(points) / points])
    upper = np.sin(x + y) + 0.7 * np.cos(2 * x - y + 1)
    lower = 0.5 * np.cos(x) + 0.4 * np.sin(x - 2 * y)
    return 1e4 * np.array([upper, lower])[:layers], np.cos(x - y) + np.sin(2 * y)


def by_the_system(points, layers):
    """Stream functions and tracer after some days, [field, y, x], at the coarsest points."""
    system = StirredTemperature(
        layers=layers, points=points, time_step=DAY / 96, filtered=False, **SEA
    )
    streams, tracer = map(fft.rfft2, few_waves(points, layers))
    vorticities = np.einsum("ijyx,jyx->iyx", system.to_vorticity, streams)
    first = np.concatenate([vorticities, tracer[None]])[None]
    last = next(islice(system.days(first), DAYS, None))
    last[:, :-1] = system.stream_function(last)
    return at_the_coarsest(fft.irfft2(last)[0])


def by_differences(points, layers):
    """The same."""
    model = FiniteDifferenceQG(points, layers=layers, **SEA)
    streams, tracer = few_waves(points, layers)
    first = np.concatenate([model.vorticities(streams), tracer[None]])
    last = model.after(first, DAYS * DAY, steps=12 * DAYS)
    return at_the_coarsest(np.concatenate([model.streams(last), last[-1:]]))


def at_the_coarsest(fields):
    """[field, y, x]."""
    every = fields.shape[-1] // COARSEST
    return fields[:, ::every, ::every]


def largest(fields):
    """[field]."""
    return np.abs(fields).max((1, 2))


def test_arakawas_jacobian_keeps_energy_and_enstrophy(rng):
    model = FiniteDifferenceQG(16, layers=1, **SEA)
    stream, vorticity = rng.normal(size=(2, 16, 16))
    jacobian = model.jacobian(stream, vorticity)
    for kept in (stream, vorticity, np.ones_like(stream)):
        assert abs((kept * jacobian).sum()) < 1e-14 * np.abs(kept * jacobian).sum()


@pytest.mark.long
@pytest.mark.parametrize("layers", [1, 2])
def test_finite_differences_tend_to_the_system(layers):
    """They are of second order; Richardson's extrapolation, (4 u_h/2 - u_h) / 3, is of fourth.

    Then 1/15 of the difference of two is the error of the finer one: the system may not lie farther
    from it than the whole of that. A number of the system that is wrong by 1 % does not pass.
    """
    system = by_the_system(4 * COARSEST, layers)
    grids = [by_differences(COARSEST * refined, layers) for refined in (1, 2, 4)]
    extrapolated = [(4 * fine - coarse) / 3 for coarse, fine in pairwise(grids)]

    def orders(approximations):
        errors = np.array([largest(each - system) for each in approximations])
        return np.log2(errors[:-1] / errors[1:])

    np.testing.assert_allclose(orders(grids), 2.0, atol=0.1)
    # Differences are central: the next orders are 2 and 6.
    np.testing.assert_allclose(orders(extrapolated), 4.0, atol=1.0)
    coarser, finer = extrapolated
    assert (largest(finer - system) < largest(finer - coarser)).all()
