"""Figures 2 to 4 of the paper, from the runs of a table."""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from tf4dvar.data import default_protocol
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import fourdvar_score, r_score
from tf4dvar.evaluation.plots import COLOURS, plot_densities, plot_windows, unit_of
from tf4dvar.evaluation.reconstruction import BATCH
from tf4dvar.experiments import Experiment
from tf4dvar.models import load_model
from tf4dvar.paper.descent import load_descent
from tf4dvar.paper.tables import held_out_windows, rows_of
from tf4dvar.storage import atomic_path
from tf4dvar.systems import system_by_name

logger = logging.getLogger(__name__)

EXAMPLES = 3
# One colour a setting and prior, one line a solver: told apart without colour too.
COLOUR_OF = {
    ("unsup", "rk4"): COLOURS[0],
    ("unsup", "genn"): COLOURS[5],
    ("sup", "rk4"): COLOURS[4],
    ("sup", "genn"): COLOURS[1],
}
LINE_OF = {"conv": "--", "lstm": "-"}
DESCENT_COLOUR = "black"


@dataclass(frozen=True)
class Iterates:
    """How a row's states approach the truth on the windows of the figures.

    Attributes:
        experiment: the row.
        states: where its solver ends, [window, time, component], physical units.
        errors: R-score after each iteration, or every thousand steps of a descent, [iterate].
        costs: 4DVar-score, same shape: the variational cost under the true dynamics, one measure
            for all priors.
    """

    experiment: Experiment
    states: np.ndarray
    errors: np.ndarray
    costs: np.ndarray

    @property
    def style(self) -> tuple[str, str]:
        """Colour and line."""
        row = self.experiment
        colour = COLOUR_OF.get((row.setting, row.prior), DESCENT_COLOUR)
        return colour, LINE_OF.get(row.update, ":")


def make_figures(
    system: str, runs: Path, out: Path, protocol: str | None = None, windows: int = 64
) -> list[Path]:
    """Draw the figures of a system from the finished rows of its table.

    Lorenz-63: Figure 2 (energy pathways, error densities) and Figure 3 (example windows).
    Lorenz-96: Figure 4 (states, errors, energy pathways, error densities).

    Args:
        system: short name.
        runs: the folder of `make_table`.
        out: folder of the figures; those of an earlier call are replaced.
        protocol: "T" or "C"; the system's default one for None.
        windows: number of test windows, the first ones.

    Returns:
        The files.
    """
    dataset = held_out_windows(system, protocol, windows)
    protocol = protocol or default_protocol(system)
    rows = []
    for experiment in rows_of(system):
        path = runs / f"{experiment.name}-{protocol}"
        # A training that is not finished has a model, but no scores.
        learned = all((path / file).is_file() for file in ("scores.json", "model.keras"))
        if learned or (path / "descent.npz").is_file():
            logger.info("%s", experiment.name)
            rows.append(iterates(experiment, path, dataset))
    if not rows:
        raise InputError(
            f"There is no finished row of {system}, protocol {protocol}, in {runs}; "
            f"`tf4dvar tables {system} --runs {runs} --protocol {protocol}` makes them."
        )
    if system == "l96":
        figures = {"figure4": state_maps(dataset, rows)}
    else:
        figures = {"figure2": pathways_and_densities(dataset, rows)}
        figures["figure3"] = example_windows(dataset, rows)
    out.mkdir(parents=True, exist_ok=True)
    files = []
    for name, figure in figures.items():
        file = out / f"{name}-{system}-{protocol}.png"
        with atomic_path(file) as temporary:
            figure.savefig(temporary, dpi=150)
        files.append(file)
    return files


def iterates(experiment: Experiment, path: Path, dataset: xr.Dataset) -> Iterates:
    """A row's iterates on the windows of a data set.

    Args:
        experiment: the row.
        path: its run directory, or the folder of its descent.
        dataset: windows with `truth`.
    """
    if experiment.build is None:
        descent = load_descent(path)
        known = slice(dataset.sizes["window"])
        errors, costs = descent.pathways[known].mean(axis=0).T
        return Iterates(experiment, descent.states[known], errors, costs)
    truth, observations = dataset["truth"].values, dataset["observations"].values
    system = system_by_name(experiment.system)
    model = load_model(path)
    batches = [
        model.iterates(observations[start : start + BATCH].astype("float32")).states.numpy()
        for start in range(0, len(truth), BATCH)
    ]
    pathway = np.concatenate(batches, axis=1).astype("float64")
    errors = [r_score(states, truth).mean() for states in pathway]
    costs = [fourdvar_score(states, observations, system.step).mean() for states in pathway]
    return Iterates(experiment, pathway[-1], np.array(errors), np.array(costs))


def best_of_each_setting(rows: list[Iterates]) -> list[Iterates]:
    """The row with the smallest error of those without, with unsupervised and supervised learning.

    More would not be told apart in one panel.

    Args:
        rows: the rows' iterates.
    """
    best: dict[str, Iterates] = {}
    for row in rows:
        setting = row.experiment.setting
        if setting not in best or row.errors[-1] < best[setting].errors[-1]:
            best[setting] = row
    return list(best.values())


def pathways_and_densities(dataset: xr.Dataset, rows: list[Iterates]) -> Figure:
    """Figure 2: energy pathways above, densities of the errors by component below.

    Args:
        dataset: windows with `truth` and `observations`.
        rows: the rows' iterates.
    """
    components = dataset["component"].values
    figure = Figure(figsize=(11, 9), layout="constrained")
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.3, 1))[:, 0]
    axes = above.subplots()
    plot_pathways(axes, dataset, rows)
    above.legend(*axes.get_legend_handles_labels(), loc="outside right center", frameon=False)
    panels = below.subplots(1, len(components), sharey=True)
    best = best_of_each_setting(rows)
    unit = unit_of(dataset["observations"])
    for index, (panel, name) in enumerate(zip(panels, components, strict=True)):
        plot_densities(panel, str(name), _errors(dataset, best, index), _colours(best), unit)
    below.legend(
        *panels[0].get_legend_handles_labels(),
        loc="outside lower center",
        ncols=len(best),
        frameon=False,
    )
    return figure


def example_windows(dataset: xr.Dataset, rows: list[Iterates]) -> Figure:
    """Figure 3: example windows, one row each, one column a component.

    Args:
        dataset: windows with `truth` and `observations`.
        rows: the rows' iterates.
    """
    components = dataset.sizes["component"]
    count = min(EXAMPLES, dataset.sizes["window"])
    best = [row for row in best_of_each_setting(rows) if len(row.states) >= count]
    figure = Figure(figsize=(4.2 * components, 2.6 * count + 0.5), layout="constrained")
    axes = figure.subplots(count, components, squeeze=False)
    plot_windows(axes, dataset, {row.experiment.name: row.states for row in best}, _colours(best))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    return figure


def state_maps(dataset: xr.Dataset, rows: list[Iterates]) -> Figure:
    """Figure 4: states and errors of the first window as maps, energy pathways, error densities.

    All states share one colour scale, and so do all errors.

    Args:
        dataset: windows with `truth` and `observations`.
        rows: the rows' iterates.
    """
    example = dataset.isel(window=0)
    best = best_of_each_setting(rows)
    truth = example["truth"].values
    errors = [row.states[0] - truth for row in best]
    figure = Figure(figsize=(4 * (len(best) + 1) + 1, 12), layout="constrained")
    maps, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.6, 1))[:, 0]
    axes = maps.subplots(2, len(best) + 1, sharex=True, sharey=True)

    low, high = truth.min(), truth.max()
    scale = {"cmap": "cividis", "vmin": low, "vmax": high}
    images = [_plot_map(axes[0, 0], example, truth, "truth", scale)]
    _plot_observations(axes[1, 0], example, scale)
    limit = max(float(np.quantile(np.abs(error), 0.995)) for error in errors)
    error_scale = {"cmap": "PuOr", "vmin": -limit, "vmax": limit}
    for column, (row, error) in enumerate(zip(best, errors, strict=True), start=1):
        name = row.experiment.name
        _plot_map(axes[0, column], example, row.states[0], name, scale)
        images.append(_plot_map(axes[1, column], example, error, f"error of {name}", error_scale))
    unit = unit_of(example["observations"])
    maps.colorbar(images[0], ax=axes[0], label="state" + unit)
    maps.colorbar(images[-1], ax=axes[1], label="reconstruction - truth" + unit)

    left, right = below.subfigures(1, 2, squeeze=False)[0]
    pathways = left.subplots()
    plot_pathways(pathways, dataset, rows)
    left.legend(
        *pathways.get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False
    )
    densities = right.subplots()
    every_error = _errors(dataset, best, slice(None))
    plot_densities(densities, "all components", every_error, _colours(best), unit)
    right.legend(*densities.get_legend_handles_labels(), loc="outside lower center", frameon=False)
    return figure


def plot_pathways(axes: Axes, dataset: xr.Dataset, rows: list[Iterates]) -> None:
    """Reconstruction error against variational cost along the iterations of each row.

    Args:
        axes: where to draw.
        dataset: windows with `truth` and `observations`.
        rows: the rows' iterates.
    """
    for row in rows:
        colour, line = row.style
        name = row.experiment.name
        axes.plot(row.costs, row.errors, line, color=colour, marker="o", markersize=2.5, label=name)
        axes.plot(row.costs[-1:], row.errors[-1:], "*", color=colour, markersize=11)
    truth = dataset["truth"].values
    system = system_by_name(dataset.attrs["system"])
    cost = fourdvar_score(truth, dataset["observations"].values, system.step)
    unit = unit_of(dataset["observations"], power=2)
    axes.axvline(cost.mean(), color="grey", linewidth=1.0, label="cost of the truth")
    axes.set(
        title="energy pathways, from the first guess to the star",
        xlabel="variational cost under the true dynamics" + unit,
        ylabel="mean squared error" + unit,
        xscale="log",
        yscale="log",
    )
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter(NullFormatter())


def _colours(rows: list[Iterates]) -> list[str]:
    return [row.style[0] for row in rows]


def _errors(dataset: xr.Dataset, rows: list[Iterates], component) -> dict[str, np.ndarray]:
    truth = dataset["truth"].values
    return {
        row.experiment.name: (row.states - truth[: len(row.states)])[..., component].ravel()
        for row in rows
    }


def _plot_map(axes: Axes, window: xr.Dataset, values: np.ndarray, title: str, scale):
    """A map of time and component."""
    numbers = np.arange(1, values.shape[1] + 1)
    image = axes.pcolormesh(window["time"].values, numbers, values.T, rasterized=True, **scale)
    axes.set(title=title, xlabel="time" + unit_of(window["time"]), ylabel="component")
    return image


def _plot_observations(axes: Axes, window: xr.Dataset, scale) -> None:
    """The observed values as points: as a map, single steps would be too thin to see."""
    values = window["observations"].values
    steps, components = np.nonzero(np.isfinite(values))
    times = window["time"].values[steps]
    axes.scatter(times, components + 1, c=values[steps, components], s=4, marker="s", **scale)
    axes.set(title="observations", xlabel="time" + unit_of(window["time"]), ylabel="component")
