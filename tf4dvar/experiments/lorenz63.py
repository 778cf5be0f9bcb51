"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import PaperScores
from tf4dvar.experiments.table import ONE_BY_ONE, rows
from tf4dvar.layers import GENN, ConvCell, GradientSolver, LSTMCell

EXPERIMENTS = rows(
    "l63",
    # In small batches, which stay in the cache, iterations computed twice are faster than
    # remembered.
    partial(GradientSolver, recompute=True),
    {
        "rk4": partial(true_flow, "l63"),
        "genn": GENN,
        "conv": ConvCell,
        "lstm": LSTMCell,
    },
    {
        # Small batches: in the same time they learn more by many small steps than by few large
        # ones. An epoch is a fifth of the windows, some ten seconds.
        (): {"batch_size": 16, "steps_per_epoch": 125, "epochs": 200},
        ("rk4", "conv"): {"stages": ONE_BY_ONE},
        ("unsup", "genn"): {"identification_epochs": 10},
        ("none",): {"paper": PaperScores(r_score=3.55)},
        ("sup", "genn", "conv"): {"paper": PaperScores(r_score=1.34)},
        ("sup", "genn", "lstm"): {"paper": PaperScores(r_score=1.62)},
    },
)
