"""Quasi-geostrophic layers once more, by finite differences, to compare those of the package with.

Nothing is shared with them: differences of second order, Arakawa's Jacobian, a sparse LU
decomposition of the elliptic operator, the classical Runge-Kutta scheme.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu


@dataclass(frozen=True)
class FiniteDifferenceQG:
    """One layer over another at rest, or two; and a tracer that the upper one stirs.

    A state is [layer + 1, y, x]: vorticities and the tracer. SI units; the names of the numbers are
    those of `QuasiGeostrophic`.
    """

    points: int
    length: float
    layers: int
    deformation_radius: float
    thickness_ratio: float
    flows: tuple[float, float]
    beta: float
    drag: float
    gradient: float

    @cached_property
    def laplacian(self):
        """Of one layer, by five points."""
        ones = np.ones(self.points)
        ring = sparse.diags_array(
            [ones[:1], ones[1:], -2 * ones, ones[1:], ones[:1]],
            offsets=[1 - self.points, -1, 0, 1, self.points - 1],
        )
        return sparse.kronsum(ring, ring) * (self.points / self.length) ** 2

    @cached_property
    def exchange(self):
        """What of both stream functions the interface adds to each vorticity, [2, 2]."""
        upper = 1 / self.deformation_radius**2 / (1 + self.thickness_ratio)
        return np.outer([upper, -upper * self.thickness_ratio], [-1.0, 1.0])

    @cached_property
    def elliptic(self):
        """Vorticities of stream functions."""
        of_points = sparse.diags_array(np.ones(self.points**2))
        moving = self.exchange[: self.layers, : self.layers]
        return sparse.kron(np.eye(self.layers), self.laplacian) + sparse.kron(moving, of_points)

    @cached_property
    def inverse(self):
        """Of the elliptic operator; a mean of both layers, which it does not see, is excluded."""
        matrix = sparse.lil_array(self.elliptic)
        if self.layers == 2:
            matrix[0, 0] *= 2
        return splu(sparse.csc_array(matrix), permc_spec="MMD_AT_PLUS_A")

    def vorticities(self, streams):
        """[layer, y, x]."""
        return (self.elliptic @ streams.ravel()).reshape(streams.shape)

    def streams(self, state):
        """Of mean zero, [layer, y, x]."""
        found = self.inverse.solve(state[:-1].ravel()).reshape(state[:-1].shape)
        return found - found.mean((1, 2), keepdims=True)

    def slope(self, state):
        """Per second."""
        streams = self.streams(state)
        gradients = [*(self.beta - self.exchange @ self.flows)[: self.layers], self.gradient]
        carriers = [*range(self.layers), 0]
        slope = np.empty_like(state)
        for field, (carrier, gradient) in enumerate(zip(carriers, gradients, strict=True)):
            stream, carried = streams[carrier], state[field]
            along = self.flows[carrier] * carried + gradient * stream
            slope[field] = -self.jacobian(stream, carried) - self.along(along)
        if self.layers == 2:
            lower = self.laplacian @ streams[1].ravel()
            slope[1] -= self.drag * lower.reshape(slope[1].shape)
        return slope

    def after(self, state, seconds, steps):
        """The state to which one leads."""
        step = seconds / steps
        for _ in range(steps):
            first = self.slope(state)
            second = self.slope(state + step / 2 * first)
            third = self.slope(state + step / 2 * second)
            last = self.slope(state + step * third)
            state = state + step / 6 * (first + 2 * second + 2 * third + last)
        return state

    def along(self, field):
        """d/dx."""
        return (at(field, 0, 1) - at(field, 0, -1)) * self.points / (2 * self.length)

    def jacobian(self, a, b):
        """da/dx db/dy - da/dy db/dx as of Arakawa (1966), doi:10.1016/0021-9991(66)90015-5."""
        east, north = at(a, 0, 1) - at(a, 0, -1), at(a, 1, 0) - at(a, -1, 0)
        plain = east * (at(b, 1, 0) - at(b, -1, 0)) - north * (at(b, 0, 1) - at(b, 0, -1))
        total = plain + corners(a, b) - corners(b, a)
        return total / 12 * (self.points / self.length) ** 2


def corners(a, b):
    """The sum over four neighbours of a, times the difference of b between the corners beside."""
    return sum(
        at(a, *side) * (at(b, *left) - at(b, *right))
        for side, left, right in (
            ((0, 1), (1, 1), (-1, 1)),
            ((1, 0), (1, -1), (1, 1)),
            ((0, -1), (-1, -1), (1, -1)),
            ((-1, 0), (-1, 1), (-1, -1)),
        )
    )


def at(field, rows, columns):
    """The values that far to the north and to the east."""
    return np.roll(field, (-rows, -columns), (-2, -1))
