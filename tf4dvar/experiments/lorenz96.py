"""The rows of Table 2: Lorenz-96, half of its components observed every fourth step."""

from functools import partial

from tf4dvar.experiments.dynamics import true_flow
from tf4dvar.experiments.experiment import PaperScores
from tf4dvar.experiments.table import ONE_BY_ONE, rows
from tf4dvar.layers import ConvCell, GradientSolver, LSTMCell, PeriodicGENN

EXPERIMENTS = rows(
    "l96",
    GradientSolver,
    {
        "rk4": partial(true_flow, "l96"),
        "genn": PeriodicGENN,
        "conv": partial(ConvCell, first_step=0.03, circle=True),
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
        ("none",): {"paper": PaperScores(r_score=1.06)},
        # The best row of the paper, for hours: more iterations brought more than more steps.
        ("sup", "genn", "lstm"): {
            "stages": ((0.0, 5), (0.1, 10), (0.6, 20)),
            "paper": PaperScores(r_score=0.38),
        },
    },
)
