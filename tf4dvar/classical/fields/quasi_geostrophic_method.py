"""What methods with quasi-geostrophic dynamics share: their settings, box and climatology."""

from dataclasses import dataclass

import numpy as np

from tf4dvar.classical.fields.climatology import SUCCESSIVE, simulated_heights
from tf4dvar.classical.fields.method import FieldMethod
from tf4dvar.classical.fields.problem import FieldProblem
from tf4dvar.classical.method import setting
from tf4dvar.data.grid import Grid
from tf4dvar.errors import InputError
from tf4dvar.systems import QuasiGeostrophic

# Of the states that a problem gives, about as many samples.
EXAMPLES = 100


@dataclass(frozen=True)
class QuasiGeostrophicMethod(FieldMethod):
    """A method of fields whose dynamics are quasi-geostrophic."""

    takes_states = True
    layers: int = setting(1, "1, or 2 of which the lower is never seen.", at_least=1)
    deformation_radius: float = setting(30.0, "Kilometres.", positive=True)
    shear: float = setting(0.1, "Mean flow of the upper layer over the lower, m/s.")
    beta: float = setting(1.6e-11, "Gradient of the planetary vorticity, 1/(m s).")
    drag: float = setting(1.16e-6, "Of the lower layer, 1/s.")

    @property
    def learns(self):
        """See `FieldMethod`; of a lower layer states tell nothing."""
        return self.layers == 1

    @property
    def system(self) -> QuasiGeostrophic:
        """Whose equations the dynamics are.

        Raises:
            InputError: there are more than two layers.
        """
        return QuasiGeostrophic(
            layers=self.layers,
            deformation_radius=1e3 * self.deformation_radius,
            flows=(self.shear, 0.0),
            beta=self.beta,
            drag=self.drag,
        )

    def examples(self, problem: FieldProblem, spacing: float) -> tuple[np.ndarray, float, float]:
        """Heights that follow each other: the states of a problem, or a climatology.

        Args:
            problem: with states, or without any.
            spacing: of its points, m.

        Returns:
            [sample, time, layer, y, x]; the spacing of their points, m, and their time step, days.

        Raises:
            InputError: the states are too short, or see `simulated_heights`.
        """
        if problem.states is None:
            heights, apart = simulated_heights(self.system)
            return heights[:, :, : self.layers], apart, 1.0
        count = problem.states.shape[1] // SUCCESSIVE
        if not count:
            raise InputError(
                f"Received states of {problem.states.shape[1]} times; expected {SUCCESSIVE} or "
                "more, by which the error of the dynamics is seen."
            )
        samples = np.arange(len(problem.states) * count)
        chosen = samples[:: max(len(samples) // EXAMPLES, 1)]
        fields = [
            problem.states[each // count, SUCCESSIVE * (each % count) :][:SUCCESSIVE]
            for each in chosen
        ]
        return np.array(fields, "float64")[:, :, None], spacing, problem.time_step


def spacing_of(grid: Grid) -> float:
    """Of the points of a periodic box in y and x, m.

    Args:
        grid: such a box, of square cells.

    Raises:
        InputError: it is another grid.
    """
    distances = np.concatenate([np.diff(axis) for axis in (grid.y, grid.x)])
    rows, columns = grid.shape
    spacing = float(np.mean(distances))
    if None in grid.periods or not grid.sea.all():
        raise InputError(
            "Received a grid with land or without periods; expected a box that repeats in y and x "
            "(the attribute modulo of both coordinates). Take a method that knows no dynamics."
        )
    expected = [spacing * rows, spacing * columns]
    measured = [*distances, *grid.periods]
    if not np.allclose(measured, [spacing] * len(distances) + expected, rtol=1e-3):
        raise InputError(
            f"Received distances of {distances.min():g} to {distances.max():g} km between rows and "
            f"columns, and the periods {grid.periods} km; expected square cells, ascending, and as "
            f"many as a period is long, {expected}."
        )
    return 1e3 * spacing


def time_step_of(problem: FieldProblem) -> float:
    """Between two maps, days.

    Args:
        problem: of regular times.

    Raises:
        InputError: they are not.
    """
    steps = np.diff(problem.times)
    if not np.allclose(steps, problem.time_step, rtol=1e-3):
        raise InputError(
            f"Received maps that are {steps.min():g} to {steps.max():g} days apart; expected "
            "regular times. Put them on regular ones, with NaN where nothing is observed."
        )
    return problem.time_step
