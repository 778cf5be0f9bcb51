"""Experiments by name."""

from difflib import get_close_matches

from tf4dvar.errors import InputError, shown
from tf4dvar.experiments import best, fields, lorenz63, lorenz96
from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import Experiment, PaperScores

TABLES = {"l63": lorenz63.EXPERIMENTS, "l96": lorenz96.EXPERIMENTS}
EXPERIMENTS = {
    row.name: row for module in (lorenz63, lorenz96, best, fields) for row in module.EXPERIMENTS
}

__all__ = ["EXPERIMENTS", "TABLES", "Experiment", "PaperScores", "experiment_by_name", "true_flow"]


def experiment_by_name(name: str) -> Experiment:
    """The experiment of that name; an unknown one is answered with the nearest.

    Args:
        name: as `tf4dvar experiments` lists it.
    """
    if name not in EXPERIMENTS:
        near = get_close_matches(name.lower(), EXPERIMENTS, n=3)
        nearest = f"the nearest are: {', '.join(near)}; " if near else ""
        raise InputError(
            f"Received the experiment {shown(name)}; {nearest}`tf4dvar experiments` lists all."
        )
    return EXPERIMENTS[name]
