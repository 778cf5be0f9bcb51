"""The rows of Table 1: Lorenz-63, x observed every eighth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import PAPER_RK4, PaperScores
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
        ("none",): {"paper": PaperScores(3.55, 7.70e-3, PAPER_RK4)},
        ("unsup", "rk4", "conv"): {"paper": PaperScores(3.52, 1.07e-2, PAPER_RK4)},
        ("unsup", "rk4", "lstm"): {"paper": PaperScores(4.52, 1.40e-2, PAPER_RK4)},
        # Of these two the table's cells are not told apart in every copy of it.
        ("unsup", "genn", "conv"): {"paper": PaperScores(7.05, None, 2.0e-4)},
        ("unsup", "genn", "lstm"): {"paper": PaperScores(29.85, None, 2.0e-4)},
        ("sup", "rk4", "conv"): {"paper": PaperScores(2.82, 9.24e-2, PAPER_RK4)},
        ("sup", "rk4", "lstm"): {"paper": PaperScores(4.00, 9.36e-2, PAPER_RK4)},
        ("sup", "genn", "conv"): {"paper": PaperScores(1.34, 1.10e-1, 0.16)},
        ("sup", "genn", "lstm"): {"paper": PaperScores(1.62, 1.27e-1, 0.14)},
    },
)
