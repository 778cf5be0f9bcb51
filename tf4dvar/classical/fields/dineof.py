"""DINEOF: gaps filled by empirical orthogonal functions that are fitted to what is observed."""

import logging
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from tf4dvar.classical.analysis import Progress
from tf4dvar.classical.fields.method import FieldAnalysis, FieldMethod
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.fields.withheld import best_scale, pasted, shares
from tf4dvar.classical.method import setting
from tf4dvar.errors import InputError
from tf4dvar.systems import random_stream

logger = logging.getLogger(__name__)

# Numbers of EOFs that may be worse than the best before the search for it ends, as in DINEOF.
PATIENCE = 3
# How often observations are withheld to scale the stated error.
TIMES = 4


@dataclass(frozen=True)
class Dineof(FieldMethod):
    """DINEOF: gaps are filled by the leading EOFs, found anew until they no longer change.

    Beckers and Rixen (2003, doi:10.1175/1520-0426(2003)020<1839:ECADFF>2.0.CO;2). Of the anomalies
    X, [day, point], from the mean of a member's observations, 0 where none is, the leading EOFs are
    computed, and the gaps replaced by what these EOFs have there, again and again: first with one
    EOF, then with one more each time. Maps are those of the EOFs, at observed points too.

    How many is told by the error at withheld observations (Alvera-Azcarate et al. 2005,
    doi:10.1016/j.ocemod.2004.08.002), those below the gaps of other days: the fewest, less than
    there are days, of which it is within its standard error of the least (Breiman et al. 1984). For
    the least itself the last EOFs hardly matter there, and spoil large gaps.

    The filter smooths the amplitudes: they are eigenvectors of F X X' F', F diffusion in time
    (Alvera-Azcarate et al. 2009, doi:10.5194/os-5-475-2009).

    The stated variance is that of an optimal interpolation of each day by itself with the
    covariance of the EOFs (Beckers et al. 2006, doi:10.5194/os-2-183-2006); that of the EOFs at
    each point, by what its days leave open, in the same way; and what the EOFs leave, of the
    withheld observations. It is scaled to errors at observations that are withheld anew, some of
    all days.

    Days without observations have amplitudes interpolated in time. Points never observed have the
    mean, and the standard deviation of all observations. Both are logged. The noise variances only
    matter to the stated error.

    `FieldAnalysis.settings` has of each member, by its number, `eofs_0` and `withheld_rmse_0`.
    """

    name = "dineof"
    eofs: int = setting(30, "Largest number of EOFs.", at_least=1)
    withheld: float = setting(0.03, "Share of the observations withheld to choose it.")
    tolerance: float = setting(
        1e-3, "Change of the gaps at which to stop, in standard deviations.", positive=True
    )
    iterations: int = setting(300, "Iterations with one number of EOFs, at most.", at_least=1)
    filter: float = setting(
        0.0, "Period up to which the EOFs are smoothed in time, days; 0 for none.", at_least=0
    )
    seed: int = setting(0, "Of the observations that are withheld.", at_least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.withheld < 1:
            raise InputError(
                f"Received withheld={self.withheld}; expected a share between 0 and 1."
            )

    def solve(self, problem: FieldProblem, progress: Progress) -> FieldAnalysis:
        """See `FieldMethod.analyse`."""
        states, spread = np.empty((2, *problem.observations.shape))
        settings: dict[str, float | str] = {}
        members = len(states)
        for member in range(members):

            def report(done, member=member):
                progress(member * self.eofs + done, members * self.eofs)

            states[member], spread[member], told = self._member(problem, member, report)
            settings |= {f"{name}_{member}": value for name, value in told.items()}
        return FieldAnalysis(states, spread, settings)

    def _member(self, problem, member, report):
        """The maps, their stated errors and what was chosen, of a member."""
        observed = problem.observed[member]
        days, points = observed.any(axis=(1, 2)), observed.any(axis=0)
        _report_gaps(member, ~days, problem.grid.sea & ~points)
        if days.sum() < 2:
            raise InputError(
                f"Received observations of a single day in the member {member}; EOFs need two."
            )
        known, seen = observed[days][:, points], observed[:, points]
        anomalies = problem.observations[member][days][:, points].astype("float64")
        mean = anomalies[known].mean()
        anomalies = np.where(known, anomalies - mean, 0.0)
        std = anomalies[known].std()
        rng = random_stream("withheld observations", self.seed, member)
        withheld = _withheld(known, self.withheld, self.withheld, rng)
        times = problem.times
        smoother = _diffusion(times[days], self.filter)
        scheme = _Iteration(smoother, self.tolerance * std, self.iterations)
        kept = known & ~withheld
        count, squared, uncertain = self._chosen(anomalies, kept, withheld, scheme, report)
        noise = problem.variance[member][:, points]
        # No less than it is uncertain, also where the noise is told too large.
        left = max(squared - noise[days][withheld].mean(), uncertain)
        parts = []
        for _ in range(TIMES):
            withheld = _withheld(known, 1.0, self.withheld, rng)
            kept = known & ~withheld
            modes, filled = scheme.fill_by_turns(np.where(kept, anomalies, 0.0), kept, count)
            patterns = modes.T @ filled
            stated = _variances(modes, patterns, kept, noise[days] + left) + left
            parts.append(np.stack([modes @ patterns - anomalies, stated, noise[days]])[:, withheld])
        of = np.concatenate(parts, axis=1)
        modes, filled = scheme.fill_by_turns(anomalies, known, count)
        report(self.eofs)
        # EOFs of the observed days' maps; amplitudes of all days.
        patterns = modes.T @ filled
        amplitudes = np.stack([np.interp(times, times[days], mode) for mode in modes.T], axis=1)
        states = np.full(observed.shape, mean)
        states[:, points] += amplitudes @ patterns
        stated = _variances(amplitudes, patterns, seen, noise + left) + left
        spread = np.full(observed.shape, std)
        spread[:, points] = np.sqrt(best_scale(of, shares(of[1], stated[~seen])) * stated)
        return states, spread, {"eofs": float(count), "withheld_rmse": float(np.sqrt(squared))}

    def _chosen(self, anomalies, kept, withheld, scheme, report):
        """How many EOFs predict the withheld best, the mean squared error, and its uncertainty."""
        filled = np.where(kept, anomalies, 0.0)
        number = withheld.sum(axis=1)
        means: list[float] = []
        uncertainties: list[float] = []
        for count in range(1, min(self.eofs, max(min(filled.shape) - 1, 1)) + 1):
            _, filled = scheme.fill(filled, kept, count)
            squared = np.where(withheld, np.square(filled - anomalies), 0.0).sum(axis=1)
            means.append(squared.sum() / number.sum())
            # Errors of a day go together, those of two days do not.
            of_days = squared - number * means[-1]
            uncertainties.append(np.linalg.norm(of_days) / number.sum())
            report(count)
            best = int(np.argmin(means))
            if len(means) - 1 - best >= PATIENCE:
                break
        as_good = np.array(means) <= means[best] + uncertainties[best]
        chosen = int(np.argmax(as_good))
        return chosen + 1, means[chosen], uncertainties[chosen]


@dataclass(frozen=True)
class _Iteration:
    """How gaps are filled with some EOFs: smoothed or not, and how long."""

    smoother: np.ndarray | None
    tolerance: float
    iterations: int

    def fill(self, anomalies, known, count):
        """The EOFs' amplitudes, [day, count], and the anomalies with their gaps filled."""
        filled, gaps = anomalies.copy(), max((~known).sum(), 1)
        for _ in range(self.iterations):
            modes = self.modes(filled, count)
            change = modes @ (modes.T @ filled)
            change -= filled
            change[known] = 0.0
            filled += change
            if np.linalg.norm(change) <= self.tolerance * np.sqrt(gaps):
                break
        else:
            logger.info("%d EOFs still change after %d iterations.", count, self.iterations)
        return modes, filled

    def fill_by_turns(self, anomalies, known, count):
        """The same with one EOF first, then with one more each time."""
        for fewer in range(1, count + 1):
            modes, anomalies = self.fill(anomalies, known, fewer)
        return modes, anomalies

    def modes(self, filled, count):
        """The leading amplitudes, orthonormal, [day, count], by the smaller covariance matrix."""
        smooth = filled if self.smoother is None else self.smoother @ filled
        by_days = len(smooth) <= smooth.shape[1]
        covariance = smooth @ smooth.T if by_days else smooth.T @ smooth
        size = len(covariance)
        _, leading = linalg.eigh(covariance, subset_by_index=(size - count, size - 1))
        return leading if by_days else np.linalg.qr(smooth @ leading).Q


def _withheld(observed, share, of_single, rng):
    """A share in the gaps of other days, or of single ones where days see too little alike."""
    withheld = pasted(observed, share, rng)
    if not withheld.any():
        number = max(int(of_single * observed.sum()), 1)
        withheld.flat[rng.choice(np.flatnonzero(observed), number, replace=False)] = True
    return withheld


def _diffusion(times, period):
    """What smooths a series in time, [day, day]; None for none.

    The limit of short steps of Alvera-Azcarate et al. (2009): they name 2 pi sqrt(steps x strength)
    the period that it cuts off.
    """
    if not period:
        return None
    # Fluxes between neighbours; none at the ends.
    differences = np.diff(np.eye(len(times)), axis=0)
    fluxes = differences / np.diff(times)[:, None]
    laplacian = -(differences.T @ fluxes) / np.gradient(times)[:, None]
    return linalg.expm((period / (2 * np.pi)) ** 2 * laplacian)


def _variances(amplitudes, patterns, observed, variance):
    """Of maps by what their observations leave open of amplitudes and of EOFs, [day, point]."""
    of_days = _root_mean_square(amplitudes.T)[:, None] * patterns
    of_points = _root_mean_square(patterns)[:, None] * amplitudes.T
    left = _left_open(of_days, observed, variance)
    return left + _left_open(of_points, observed.T, variance.T).T


def _root_mean_square(rows):
    return np.sqrt(np.square(rows).mean(axis=1))


def _left_open(basis, observed, variance):
    """Variances of sums of a basis [k, n] by what observations of each, [m, n], leave open.

    P = L (I + L' R^-1 L)^-1 L', L the basis, whose coefficients have the variance 1.
    """
    left = np.empty(observed.shape)
    for number, seen in enumerate(observed):
        there = basis[:, seen]
        precision = np.eye(len(basis)) + (there / variance[number, seen]) @ there.T
        left[number] = (basis * np.linalg.solve(precision, basis)).sum(axis=0)
    return left


def _report_gaps(member, days, points):
    if days.any():
        logger.warning(
            "In the member %d, %d of %d days have no observation; their EOFs' amplitudes are "
            "interpolated in time.",
            member,
            days.sum(),
            len(days),
        )
    if points.any():
        logger.warning(
            "In the member %d, %d points off land have no observation on any day; they get the "
            "mean of all observations.",
            member,
            points.sum(),
        )
