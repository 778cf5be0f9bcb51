"""What an experiment is."""

from collections.abc import Callable
from dataclasses import dataclass

from tf4dvar.models import FourDVarNet, SupervisedLoss, TrainingLoss

SUPERVISED = SupervisedLoss()


@dataclass(frozen=True)
class PaperScores:
    """The scores that the paper's Table 1 or 2 has for a row; None where it has none.

    Attributes:
        r_score, fourdvar_score, ode_score: see `tf4dvar.evaluation.metrics`.
    """

    r_score: float | None = None
    fourdvar_score: float | None = None
    ode_score: float | None = None


# The ODE-score of the true model, below 1e-4 in the tables, as the text gives it.
PAPER_RK4 = 3.7e-5


@dataclass(frozen=True)
class Experiment:
    """A model and how it is trained: a row of Table 1 or 2, or a published model beyond them.

    The learning settings of Section 3.4: a frozen prior of known dynamics; a prior identified
    from states before the solver is trained; or both learned jointly.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        system: short name of the system.
        build: makes the model, not yet adapted; None where nothing is learned (fixed-step
            descent of the variational cost of the known dynamics).
        setting: how it is learned, "sup" or "unsup"; "none" where nothing is.
        prior, update: short names of Phi and of the solver's update.
        loss: of the training.
        epochs: default length of a training without a time budget.
        windows: number of training windows, the same in every pass (the paper's data budget).
        fresh: simulate new windows with new noise for every pass instead.
        cycled: windows are single times instead, of cycles that the model goes through itself.
        batch_size: windows a step.
        steps_per_epoch: steps of an epoch, by which schedule, time budget and checkpoints go;
            all windows once by default.
        learning_rate: of Adam, at the start or after the warm-up.
        warm_up: share of the training in which the learning rate rises.
        stages: (progress, iterations) pairs of the curriculum.
        identification_epochs: how long the prior is first fitted to true states, by the error of
            Phi(x) (a flow's forecast from the step before, a GENN's estimate from all other steps);
            it is frozen then. 0: it is not.
        steps: times of a window, of a system of fields its days.
        protocol: observation protocol, see `tf4dvar.systems.System.protocols`; of a system of
            fields a plan, see `tf4dvar.systems.instruments.PLANS`.
        refinements: of a system of fields, by which its grid is made finer; windows of each, in
            turn, are of a part of the box.
        paper: what the paper reports.
    """

    name: str
    summary: str
    system: str
    build: Callable[[], FourDVarNet] | None
    setting: str
    prior: str
    update: str
    loss: TrainingLoss = SUPERVISED
    epochs: int = 40
    windows: int = 10_000
    fresh: bool = False
    cycled: bool = False
    batch_size: int = 128
    steps_per_epoch: int | None = None
    learning_rate: float = 2e-3
    warm_up: float = 0.0
    stages: tuple[tuple[float, int], ...] = ((0.0, 5), (0.3, 10), (0.6, 20))
    identification_epochs: int = 0
    steps: int = 200
    protocol: str = "C"
    refinements: tuple[int, ...] = (1,)
    paper: PaperScores = PaperScores()
