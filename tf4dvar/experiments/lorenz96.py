"""The rows of Table 2: Lorenz-96, half of its components observed every fourth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import PAPER_RK4, PaperScores
from tf4dvar.experiments.table import ONE_BY_ONE, rows
from tf4dvar.layers import ConvCell, GradientSolver, LSTMCell, PeriodicGENN

EXPERIMENTS = rows(
    "l96",
    GradientSolver,
    {
        "rk4": partial(true_flow, "l96"),
        "genn": PeriodicGENN,
        "conv": partial(ConvCell, filters=(8, 16), kernel_size=3, circle=True),
        "lstm": partial(LSTMCell, units=5, circle=True),
    },
    {
        # Small batches: a window is a field of 8000 values, and few of them stay in a cache.
        (): {
            "windows": 2000,
            "batch_size": 16,
            "learning_rate": 5e-3,
            "stages": ONE_BY_ONE,
            "protocol": "T",
        },
        # An iteration with this prior costs ten of those with the known dynamics: fewer of them,
        # in smaller batches, and epochs of a minute or two instead of ten.
        ("genn",): {
            "batch_size": 4,
            "steps_per_epoch": 50,
            "epochs": 200,
            "stages": ((0.0, 5), (0.2, 10)),
        },
        ("unsup", "genn"): {"identification_epochs": 10},
        ("none",): {"paper": PaperScores(1.06, 1.47e-2, PAPER_RK4)},
        ("unsup", "rk4", "conv"): {"paper": PaperScores(1.00, 1.66e-2, PAPER_RK4)},
        ("unsup", "rk4", "lstm"): {"paper": PaperScores(1.32, 1.91e-2, PAPER_RK4)},
        ("sup", "rk4", "conv"): {"paper": PaperScores(0.82, 2.12e-2, PAPER_RK4)},
        ("sup", "rk4", "lstm"): {"paper": PaperScores(0.97, 3.15e-2, PAPER_RK4)},
        ("sup", "genn", "conv"): {"paper": PaperScores(0.49, 7.47e-2, 0.122)},
        # The best row of the paper, for hours: more iterations brought more than more steps.
        ("sup", "genn", "lstm"): {
            "stages": ((0.0, 5), (0.1, 10), (0.6, 20)),
            "paper": PaperScores(0.38, 5.30e-2, 7.20e-2),
        },
    },
)
