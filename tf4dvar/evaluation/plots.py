"""Figures of windows and errors."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import gaussian_kde

from tf4dvar.data.checks import check_observations
from tf4dvar.evaluation.calibration import by_spread, within

# Okabe and Ito's palette: told apart by colour-blind readers too.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#F0E442")
EXAMPLES, COLUMNS = 2, 3
DENSITY_SAMPLE = 20_000
LOWEST_DENSITY = 1e-4


def plot_reconstructions(
    dataset: xr.Dataset,
    states: Mapping[str, np.ndarray],
    stds: Mapping[str, np.ndarray] | None = None,
) -> Figure:
    """The first windows above, densities of the errors below; one column a component.

    Args:
        dataset: `observations` and, where known, `truth`; without it there are no densities.
        states: reconstructed states by label, each [window, time, component].
        stds: standard deviations of their errors, of those labels that have some: bands in which
            nine of ten true states are to be.

    Raises:
        InputError: the windows are of fields.
    """
    check_observations(dataset["observations"].values)
    windows = min(EXAMPLES, dataset.sizes["window"])
    components = min(COLUMNS, dataset.sizes["component"])
    known = "truth" in dataset
    rows = windows + known
    figure = Figure(figsize=(4.2 * components, 2.6 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, components, squeeze=False)
    plot_windows(axes[:windows], dataset, states, stds=stds)
    if known:
        truth = dataset["truth"].values
        for column in range(components):
            errors = {
                label: (state - truth)[:, :, column].ravel() for label, state in states.items()
            }
            name = str(dataset["component"].values[column])
            unit = unit_of(dataset["observations"])
            plot_densities(axes[-1, column], name, errors, unit=unit)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    # More of them side by side would be cut off at the figure's edges.
    columns = min(len(labels), 4)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False)
    return figure


def plot_error_by_time(dataset: xr.Dataset, errors: Mapping[str, Sequence[float]]) -> Figure:
    """Mean squared error of every method along the window.

    Args:
        dataset: the windows, for their times and units.
        errors: mean squared errors by label, each [time].
    """
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (label, error) in zip(cycle(COLOURS), errors.items(), strict=False):
        axes.plot(dataset["time"], error, color=colour, label=label)
    axes.set(
        xlabel="time in the window" + unit_of(dataset["time"]),
        ylabel="mean squared error" + unit_of(dataset["observations"], power=2),
        yscale="log",
    )
    axes.legend(frameon=False)
    return figure


def plot_calibration(
    dataset: xr.Dataset, errors: Mapping[str, np.ndarray], spreads: Mapping[str, np.ndarray]
) -> Figure:
    """Error against estimated spread, in ten classes of spread; the diagonal is right.

    Args:
        dataset: the windows, for their units.
        errors: errors by label, each [window, time, component].
        spreads: estimated standard deviations by label, same shapes.
    """
    figure = Figure(figsize=(4.5, 4), layout="constrained")
    axes = figure.subplots()
    for colour, (label, spread) in zip(cycle(COLOURS), spreads.items(), strict=False):
        known = np.isfinite(errors[label])
        classes = by_spread(errors[label][known], spread[known])
        estimated, found = ([each[name] for each in classes] for name in ("spread", "error"))
        axes.plot(estimated, found, "o-", color=colour, label=label)
    limit = max(axes.get_xlim()[1], axes.get_ylim()[1])
    axes.plot([0, limit], [0, limit], color="black", linewidth=0.8)
    unit = unit_of(dataset["observations"])
    axes.set(xlabel="estimated spread" + unit, ylabel="root mean squared error" + unit)
    axes.legend(frameon=False)
    return figure


def plot_windows(
    axes: np.ndarray,
    dataset: xr.Dataset,
    states: Mapping[str, np.ndarray],
    colours: Sequence[str] = COLOURS,
    stds: Mapping[str, np.ndarray] | None = None,
) -> None:
    """The first windows, a row each, one column a component; see `plot_window`.

    Args:
        axes: where to draw, [window, component].
        dataset: the windows.
        states: reconstructions by label, each [window, time, component], physical units.
        colours: one for each label.
        stds: see `plot_reconstructions`.
    """
    # What has no labels is numbered.
    unlabelled = set(dataset.dims) - set(dataset.coords)
    dataset = dataset.assign_coords({name: dataset[name] for name in unlabelled})
    for (row, column), panel in np.ndenumerate(axes):
        window = dataset.isel(window=row, component=column)
        some, sure = (
            {label: of[row, :, column] for label, of in each.items()}
            for each in (states, stds or {})
        )
        plot_window(panel, window, some, colours, sure)


def plot_window(
    axes: Axes,
    window: xr.Dataset,
    states: Mapping[str, np.ndarray],
    colours: Sequence[str] = COLOURS,
    stds: Mapping[str, np.ndarray] | None = None,
) -> None:
    """One component of one window, its truth, observations and reconstructions by label.

    Args:
        axes: where to draw.
        window: one window and component of a data set, its variables [time].
        states: reconstructions by label, each [time], physical units.
        colours: one for each label.
        stds: standard deviations of their errors, of those that have some, each [time].
    """
    times = window["time"].values
    component = str(window["component"].values)
    if "truth" in window:
        axes.plot(times, window["truth"], color="black", linewidth=2.5, alpha=0.35, label="truth")
    for colour, (label, state) in zip(colours, states.items(), strict=False):
        axes.plot(times, state, color=colour, linewidth=1.2, label=label)
        if stds and label in stds:
            reach = within(90) * stds[label]
            axes.fill_between(times, state - reach, state + reach, color=colour, alpha=0.2, lw=0)
    axes.plot(
        times, window["observations"], "o", color="black", markersize=3.5, label="observations"
    )
    axes.set(
        title=f"window {int(window['window'])}, {component}",
        xlabel="time" + unit_of(window["time"]),
        ylabel=component + unit_of(window["observations"]),
    )


def plot_densities(
    axes: Axes,
    component: str,
    errors: Mapping[str, np.ndarray],
    colours: Sequence[str] = COLOURS,
    unit: str = "",
) -> None:
    """Probability densities of the errors by label, [sample], on a logarithmic axis.

    Args:
        axes: where to draw.
        component: its name, for the labels.
        errors: by label, each [sample], physical units; NaN is left out.
        colours: one for each label.
        unit: of the errors, as `unit_of` has it.
    """
    samples = {label: error[np.isfinite(error)] for label, error in errors.items()}
    limits = [np.quantile(np.abs(sample), 0.995) for sample in samples.values() if sample.size]
    limit = max(limits, default=1.0)
    grid = np.linspace(-limit, limit, 400)
    peak = LOWEST_DENSITY
    for colour, (label, sample) in zip(colours, samples.items(), strict=False):
        sample = sample[:: max(1, len(sample) // DENSITY_SAMPLE)]
        if sample.size and np.ptp(sample) > 0:
            density = gaussian_kde(sample)(grid)
            peak = max(peak, density.max())
            axes.plot(grid, density, color=colour, label=label)
    axes.set(
        title=f"errors of {component}",
        xlabel=f"reconstruction - truth, {component}{unit}",
        ylabel="probability density",
        yscale="log",
        ylim=(LOWEST_DENSITY, 2 * peak),
    )


def unit_of(variable: xr.DataArray, power: int = 1) -> str:
    """The units of a variable, for the label of an axis.

    Args:
        variable: with the attribute `units`.
        power: of the variable.
    """
    unit = variable.attrs.get("units", "1")
    if unit == "1":
        return " (dimensionless)"
    return f" ({unit})" if power == 1 else f" (({unit})^{power})"
