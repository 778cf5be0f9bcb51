"""What solvers have in common."""

from typing import Any, NamedTuple

import keras
import tensorflow as tf

from tf4dvar.errors import shown
from tf4dvar.layers.precise_layer import PreciseLayer


class Iterates(NamedTuple):
    """The iterates of a solver and their costs (the paper's energy pathways).

    Attributes:
        states: the first guess and the state after each iteration,
            [iterations + 1, batch, time, component]; or the last alone, [1, batch, ...].
        costs: their variational costs, [iterations + 1, batch].
    """

    states: tf.Tensor
    costs: tf.Tensor


class Solver(PreciseLayer):
    """Gamma: from a first guess to a state, by K iterations; see `GradientSolver.call`.

    Args:
        iterations: K. It can be changed at any time by setting the attribute, with no new trace.

    Traits:
        method: name of what it does in an iteration.
        of_trajectories: whether it needs a flow among the priors; by default not.
        segment: number of times that it takes for a trajectory, where windows are of many Lyapunov
            times; by default it cuts none.
    """

    of_trajectories = False
    segment: int | None = None

    def __init__(self, iterations: int, **kwargs):
        super().__init__(**kwargs)
        self._initial_iterations = _checked(iterations)

    @property
    def method(self) -> str:
        """Its class."""
        return type(self).__name__

    @property
    def iterations(self) -> int:
        """K."""
        return int(self._iterations.numpy()) if self.built else self._initial_iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        if not self.built:
            self._initial_iterations = _checked(value)
            return
        self.check_change(value)
        self._iterations.assign(_checked(value))

    def check_change(self, iterations: int) -> None:
        """Refuse another K of a built solver, if it cannot have one; by default it can.

        Args:
            iterations: that K.
        """

    def build(self, first_guess_shape, *_):
        """K becomes a weight."""
        self._iterations = self.add_weight(
            shape=(),
            dtype="int32",
            initializer=keras.initializers.Constant(self._initial_iterations),
            trainable=False,
            name="iterations",
        )

    def for_inference(self, unroll: bool = False) -> dict[str, Any]:
        """The configuration of a solver that does the same where nothing is trained.

        Args:
            unroll: whether iterations are written out where XLA cannot loop over them.
        """
        return self.get_config()


def _checked(iterations: int) -> int:
    whole = not isinstance(iterations, bool) and int(iterations) == iterations
    if not (whole and 0 <= iterations < 2**31):
        raise ValueError(
            f"Received iterations={shown(iterations)}; expected an integer from 0 to 2^31 - 1."
        )
    return int(iterations)
