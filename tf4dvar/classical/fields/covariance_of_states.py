"""The covariance of a field in space and time that is estimated from states."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import fft

from tf4dvar.classical.fields.covariances import on_circles
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.errors import InputError
from tf4dvar.runtime import check_memory


@dataclass(frozen=True)
class CovarianceOfStates:
    """A covariance that depends on the lags in time, rows and columns alone, on the sphere too.

    Attributes:
        table: covariances by lag, [time, y, x]; lag zero is in its middle.
        shape: of the maps, [time, y, x].
        periodic: of rows and of columns, whether they repeat.

    Usage:

        from tf4dvar.classical.fields import FieldProblem
        from tf4dvar.classical.fields.covariance_of_states import covariance_of_states
        from tf4dvar.data.grid import Grid

        states = np.random.default_rng(0).normal(size=(50, 4, 8, 8))
        grid = Grid(np.arange(8.0), np.arange(8.0), periods=(8.0, 8.0))
        problem = FieldProblem(states[:1], 0.1, np.arange(4.0), grid, states)
        assert abs(covariance_of_states(problem).variance - 1) < 0.1
    """

    table: np.ndarray
    shape: tuple[int, ...]
    periodic: tuple[bool, bool]

    @property
    def variance(self) -> float:
        """Of a point."""
        return float(self.table.flat[self.table.size // 2])

    @cached_property
    def reach(self) -> np.ndarray:
        """The lags in time, y and x from which the correlation is below one half."""
        t, y, x = (length - 1 for length in self.shape)
        lines = self.table[t:, y, x], self.table[t, y:, x], self.table[t, y, x:]
        low = [np.flatnonzero(line < self.variance / 2) for line in lines]
        ends = zip(low, self.shape, strict=True)
        return np.array([float(each[0] if each.size else length) for each, length in ends])

    def coordinates(self, points: np.ndarray) -> np.ndarray:
        """See `FieldCovariance`; in units of `reach`.

        Args:
            points: they.
        """
        lags = np.stack(np.unravel_index(points, self.shape), axis=-1) / self.reach
        repeats = np.where((False, *self.periodic), self.shape / self.reach, 0)
        return on_circles(lags, repeats)

    def between(self, some: np.ndarray, others: np.ndarray) -> np.ndarray:
        """See `FieldCovariance`.

        Args:
            some, others: points.
        """
        first, second = (
            np.ravel_multi_index(np.unravel_index(each, self.shape), self.table.shape)
            for each in (some, others)
        )
        return self.table.ravel()[np.subtract.outer(first, second) + self.table.size // 2]


def mean_of_states(problem: FieldProblem) -> np.ndarray:
    """Of every point, [y, x]; along a dimension with a period all points are alike.

    Args:
        problem: with states.
    """
    assert problem.states is not None
    sea = problem.grid.sea
    at_points = np.where(sea, problem.states.mean(axis=(0, 1)), 0.0)
    alike = tuple(axis for axis, period in enumerate(_periodic(problem)) if period)
    count = np.maximum(sea.sum(axis=alike, keepdims=True), 1)
    return np.where(sea, at_points.sum(axis=alike, keepdims=True) / count, 0.0)


def covariance_of_states(problem: FieldProblem) -> CovarianceOfStates:
    """The mean product of anomalies of states at each lag (Wiener-Khinchin), zero on land.

    But along periods, states fall to zero at their ends as a sine: so the covariance is positive
    definite without a bias at short lags that is linear in them. At an eighth of the states'
    extent it is 7 % too small.

    Args:
        problem: with states; its grid has to be regular, its times too.

    Raises:
        InputError: there are no states, they are all the same, the grid or the times are not
            regular, or the memory is too small.
    """
    states, grid = problem.states, problem.grid
    if states is None or states.shape[0] * states.shape[1] < 2:
        raise InputError(
            "Received no states of which to estimate a covariance; expected two whole fields at "
            "least, or another covariance."
        )
    periodic = _periodic(problem)
    _check_regular(problem)
    times = len(problem.times)
    # Beyond the lags between the maps nothing is needed, and zeros keep the ends apart.
    lengths = (states.shape[1], *grid.shape)
    apart = (times, *grid.shape)
    sizes = [
        length if period else fft.next_fast_len(length + lags, real=True)
        for length, lags, period in zip(lengths, apart, (False, *periodic), strict=True)
    ]
    check_memory(
        5 * 8 * np.prod(sizes),
        f"Received states of shape {states.shape}",
        "Cut them to shorter series.",
    )
    weights = grid.sea.astype("float64")
    for axis, length in enumerate(lengths):
        if axis == 0 or not periodic[axis - 1]:
            sine = np.sin(np.pi * (np.arange(length) + 0.5) / length)
            weights = weights * np.expand_dims(sine, [k for k in range(3) if k != axis])
    mean, power = mean_of_states(problem), 0.0
    for series in states:
        anomalies = np.where(grid.sea, series - mean, 0.0)
        power = power + np.square(np.abs(fft.rfftn(weights * anomalies, sizes)))
    if not np.any(power):
        raise InputError("Received states that are all the same; expected some that vary.")
    table = fft.irfftn(power, sizes) / (len(states) * np.square(weights).sum())
    lags = np.ix_(*(np.arange(1 - length, length) for length in apart))
    return CovarianceOfStates(np.ascontiguousarray(table[lags]), apart, periodic)


def _periodic(problem):
    """Of rows and of columns, whether they repeat."""
    return tuple(period is not None for period in problem.grid.periods)


def _check_regular(problem):
    """Refuse axes along which a lag is not a number of points."""
    grid = problem.grid
    axes = zip(
        ("times", "y", "x"), (problem.times, grid.y, grid.x), (None, *grid.periods), strict=True
    )
    for name, values, period in axes:
        steps = np.diff(values)
        if period is not None:
            # From the last point to the first one of the next period; axes may descend.
            steps = np.diff(values, append=values[0] + np.copysign(period, values[-1] - values[0]))
        if len(steps) and not np.allclose(steps, steps[0], rtol=1e-3):
            raise InputError(
                f"Received {name} in steps of {steps.min():g} to {steps.max():g}; a covariance of "
                "states takes regular ones. Take another covariance."
            )
