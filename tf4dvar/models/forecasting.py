"""States after the window."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers import OneStepFlow
from tf4dvar.models.inputs import by_name
from tf4dvar.models.labelled import arranged
from tf4dvar.models.probabilistic import ProbabilisticModel

# Times that are made longer with nothing observed in them; land has no time.
OF_TIMES = ("observations", "noise_variance", "background")


class Forecast(NamedTuple):
    """Of the times after a window; physical units.

    Attributes:
        mean: [window, step, component].
        last: the last state of the window, from which it begins, [window, component].
        std: deviation of the samples, same shape; None without samples.
    """

    mean: np.ndarray
    last: np.ndarray
    std: np.ndarray | None = None


class ForecastingModel(ProbabilisticModel):
    """The part of `FourDVarNet` that goes on after the last time of a window."""

    def forecast(self, inputs: Any, steps: int, samples: int = 0, seed: int = 0) -> Forecast:
        """The states that follow a window, from what was observed in it.

        If a prior is a flow, known or learned, it steps on from the last state; it is trusted as
        far as the dynamics that it has. Without one the window is made longer, with nothing
        observed in what is added, and the model reconstructs that: a few steps, as far as windows
        of its training had no observations at their ends.

        Args:
            inputs: as for `predict`, of series.
            steps: after the last time of the window.
            samples: of each window, from which mean and deviation are; 0: from the reconstruction,
                without a deviation.
            seed: of the samples.

        Raises:
            InputError: there are steps or samples of less than none, the windows are of fields or
                with covariates, which are not known afterwards, or samples are asked of a model
                without an `uncertainty`.
        """
        if steps < 1 or samples < 0:
            raise InputError(
                f"Received steps={steps} and samples={samples}; expected a step or more, and no "
                "less than no samples."
            )
        if self.covariates:
            raise InputError(
                "The model takes covariates, which are not known after the window; it forecasts "
                "nothing."
            )
        given, restored = arranged(self, inputs)
        arrays = {name: np.asarray(of, self.input_dtype) for name, of in by_name(given).items()}
        if arrays["observations"].ndim != 3:
            raise InputError(
                f"Received observations of shape {arrays['observations'].shape}; forecasts are of "
                "series, [window, time, component]."
            )
        flow = self.flow
        if flow is None:
            arrays = {
                name: _longer(of, steps) if name in OF_TIMES else of for name, of in arrays.items()
            }
        if samples:
            found = self.sample(arrays, samples, seed)
        else:
            found = self.predict(arrays, verbose=0)[np.newaxis]
        if flow is None:
            last, drawn = found[:, :, -steps - 1], found[:, :, -steps:]
        else:
            last = found[:, :, -1]
            ahead = flow.ahead(last.reshape(-1, last.shape[-1]), tf.constant(steps))
            drawn = ahead.numpy().reshape(*last.shape[:2], steps, -1)
        std = restored(drawn.std(axis=0, ddof=1)) if samples > 1 else None
        return Forecast(restored(drawn.mean(axis=0)), restored(last.mean(axis=0)), std)

    @property
    def flow(self) -> OneStepFlow | None:
        """The first prior that steps states ahead; None where none does."""
        return next((each for each in self.priors if isinstance(each, OneStepFlow)), None)


def _longer(values, steps):
    """With times in which nothing is observed."""
    return np.pad(values, ((0, 0), (0, steps), (0, 0)), constant_values=np.nan)
