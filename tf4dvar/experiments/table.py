"""The rows of a table of the paper: the descent, and every setting, prior and update."""

from collections.abc import Callable, Mapping
from itertools import product
from typing import Any

from tf4dvar.experiments.experiment import Experiment
from tf4dvar.layers import GradientSolver
from tf4dvar.models import FourDVarNet, UnsupervisedLoss

ROWS = (("none", "rk4", "fsgd"), *product(("unsup", "sup"), ("rk4", "genn"), ("conv", "lstm")))
SUMMARIES = {
    ("none", "rk4"): "known dynamics (RK4), {}, nothing learned",
    ("unsup", "rk4"): "known dynamics (RK4), {}, unsupervised",
    ("unsup", "genn"): "GENN prior identified from states, {}, unsupervised",
    ("sup", "rk4"): "known dynamics (RK4), {}, supervised",
    ("sup", "genn"): "GENN prior learned jointly with the {}, supervised",
}
UPDATES = {"fsgd": "fixed-step gradient descent", "conv": "CNN update", "lstm": "LSTM update"}
# The paper's 0.01 and 1, times 100: gradients are then about as large as those of the supervised
# loss, for which the clip is set. A hundredth of that, outliers of thirty times the usual gradient
# pass it, and a training that was undone within an epoch is laid to one.
UNSUPERVISED = UnsupervisedLoss(observation_weight=1.0, prior_weight=100.0)
# K raised one by one, 5 to 20: known dynamics amplify what an update does wrong, and one that is
# stable for ten iterations need not be for twenty.
ONE_BY_ONE = tuple((0.04 * raised, 5 + raised) for raised in range(16))


def rows(
    system: str,
    solver: Callable[..., GradientSolver],
    layers: Mapping[str, Callable[[], Any]],
    differing: Mapping[tuple[str, ...], Mapping[str, Any]],
) -> tuple[Experiment, ...]:
    """The experiments of a system's table, in the paper's order.

    Args:
        system: short name.
        solver: makes one of an update.
        layers: what makes these, by their short names.
        differing: fields of the rows that have all of these short names; of two, the later.
    """

    def row(setting: str, prior: str, update: str) -> Experiment:
        names = (setting, prior, update)
        fields: dict[str, Any] = {}
        for some, own in differing.items():
            fields |= own if {*some} <= {*names} else {}
        if setting == "unsup":
            fields["loss"] = UNSUPERVISED

        def build() -> FourDVarNet:
            return FourDVarNet(layers[prior](), solver(layers[update]()))

        return Experiment(
            "-".join((system, *names)),
            SUMMARIES[setting, prior].format(UPDATES[update]),
            system,
            None if setting == "none" else build,
            *names,
            **fields,
        )

    return tuple(row(*names) for names in ROWS)
