"""What an experiment is."""

from collections.abc import Callable
from dataclasses import dataclass

from tf4dvar.models import FourDVarNet


@dataclass(frozen=True)
class Experiment:
    """A model and how it is trained.

    Attributes:
        name: as on the command line: system, learning setting, prior, solver.
        summary: one line for people.
        system: short name of the system.
        build: makes the model, not yet adapted.
        epochs: default length of a training.
        windows: number of training windows, the same in every epoch (the paper's data budget).
        batch_size: windows a step.
        learning_rate: of Adam, at the start.
        stages: (progress, iterations) pairs of the curriculum.
        protocol: observation protocol, see `tf4dvar.data.PROTOCOLS`.
    """

    name: str
    summary: str
    system: str
    build: Callable[[], FourDVarNet]
    epochs: int = 40
    windows: int = 10_000
    batch_size: int = 128
    learning_rate: float = 2e-3
    stages: tuple[tuple[float, int], ...] = ((0.0, 5), (0.3, 10), (0.6, 20))
    protocol: str = "C"
