"""Figures of the scores of maps, by scale and by day."""

from itertools import cycle

import numpy as np
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.evaluation.colours import Quantity
from tf4dvar.evaluation.field_scores import RESOLVED, daily_scores, resolved, spectral_score
from tf4dvar.evaluation.mapped import Mapped, check_shapes, days_of, plain, wrapped
from tf4dvar.evaluation.plots import COLOURS

# Of the step between times or columns, by which one may be off.
UNEVEN = 0.01
# Of times and of columns, for a spectrum.
FEWEST = 4


def plot_spectral_score(states: Mapped, truth: np.ndarray, grid: Grid, times: np.ndarray) -> Figure:
    """The score of each wavelength and period, with the contour between resolved and not.

    Args:
        states: maps by method.
        truth: [member, time, y, x].
        grid: of the maps, with even columns and no land.
        times: [time], even dates or days.

    Raises:
        InputError: shapes differ, something of the truth or the states is unknown, the truth has no
            power at some scales, or columns or times are uneven or fewer than four.

    Usage:

        from tf4dvar.data.grid import Grid
        from tf4dvar.evaluation.field_score_plots import plot_spectral_score

        truth = np.random.default_rng(0).normal(size=(1, 10, 4, 12))
        grid = Grid(np.arange(4.0), np.arange(12.0))
        figure = plot_spectral_score({"half": truth / 2}, truth, grid, np.arange(10.0))
    """
    check_shapes({**states, "truth": truth}, grid, times)
    unknown = int((~np.isfinite(truth)).sum())
    if unknown:
        raise InputError(
            f"Received a truth of which {unknown} values are unknown, as on land; expected all: "
            "gaps have no spectrum."
        )
    steps = _step(days_of(times), "times"), _step(grid.x, "columns")
    figure = Figure(figsize=(3.4 * len(states) + 1, 3.6), layout="constrained")
    axes = figure.subplots(1, len(states), sharex=True, sharey=True, squeeze=False)[0]
    unit = "degrees" if grid.spherical else "km"
    for panel, (label, state) in zip(axes, states.items(), strict=True):
        score, periods, wavelengths = spectral_score(state, truth, *steps)
        if not np.isfinite(score).all():
            raise InputError(
                "Received a truth that has no power at some scales, as if all columns are alike, "
                f"or states {label!r} that are not finite; no score is there."
            )
        filled = panel.contourf(
            wavelengths, periods, score, np.linspace(0, 1, 11), cmap="viridis", extend="min"
        )
        panel.contour(wavelengths, periods, score, [RESOLVED], colors="black")
        smallest = resolved(score, periods, wavelengths)
        found = "nothing resolved"
        if smallest[0] is not None:
            found = f"resolved from {smallest[0]:.3g} {unit}, {smallest[1]:.3g} days"
        panel.set_title(f"{plain(wrapped(label))}\n{found}", fontsize="medium")
        panel.set(xscale="log", yscale="log", xlabel=f"wavelength ({unit})")
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(ScalarFormatter())
            axis.set_minor_formatter(NullFormatter())
    # As frequencies ascend.
    axes[0].invert_xaxis()
    axes[0].invert_yaxis()
    axes[0].set_ylabel("period (days)")
    bar = figure.colorbar(filled, ax=list(axes), label="1 - PSD(error) / PSD(truth)")
    bar.ax.axhline(RESOLVED, color="black")
    return figure


def plot_daily_scores(
    states: Mapped, truth: np.ndarray, quantity: Quantity, times: np.ndarray
) -> Figure:
    """Every method's error by day, and what it explains of the truth.

    Args:
        states: maps by method.
        truth: [member, time, y, x], NaN where unknown; the scores are of all members.
        quantity: that they are of.
        times: [time], dates or days.

    Usage:

        from tf4dvar.evaluation.colours import Quantity
        from tf4dvar.evaluation.field_score_plots import plot_daily_scores

        truth = np.random.default_rng(0).normal(size=(1, 10, 4, 12))
        height = Quantity("height", "m")
        figure = plot_daily_scores({"half": truth / 2}, truth, height, np.arange(10.0))
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    for colour, (label, state) in zip(cycle(COLOURS), states.items(), strict=False):
        for panel, score in zip(axes, daily_scores(state, truth), strict=True):
            panel.plot(times, score, color=colour, label=plain(label))
    axes[0].set_ylabel("mu")
    units = "" if quantity.units == "1" else f" ({quantity.units})"
    axes[1].set(ylabel=f"RMSE{plain(units)}", ylim=(0, None), xlabel="time (days)")
    if times.dtype.kind == "M":
        locator = AutoDateLocator()
        axes[1].xaxis.set_major_locator(locator)
        axes[1].xaxis.set_major_formatter(ConciseDateFormatter(locator))
        axes[1].set_xlabel("time")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False
    )
    return figure


def _step(values, what):
    """Between times or columns, which have to be even."""
    steps = np.diff(values)
    if len(values) < FEWEST or (np.abs(steps - steps.mean()) > UNEVEN * np.abs(steps.mean())).any():
        raise InputError(
            f"Received {len(values)} {what}, {np.abs(steps).min(initial=np.inf):g} to "
            f"{np.abs(steps).max(initial=0):g} apart; expected {FEWEST} or more, evenly: others "
            "have no spectrum."
        )
    return float(abs(steps.mean()))
