"""A model as a filter."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tf4dvar.classical.cycled import Filter
from tf4dvar.classical.method import setting
from tf4dvar.cycling.model_windows import loaded
from tf4dvar.errors import InputError

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

# Of the noise's variance, which the analysis' own is less than.
MOST_OF_NOISE = 0.9


class MeanAndSpread(NamedTuple):
    """The state, and the deviation of its error, 0 where it is not known; [series, component]."""

    mean: np.ndarray
    spread: np.ndarray


@dataclass(frozen=True)
class LearnedFilter(Filter):
    """A learned analysis: a model whose first guess takes the forecast as a background.

    It forecasts by the model's own flow, of known dynamics or learned. What is known is the mean
    alone. The deviation that is stated is of observed times, by the model's uncertainty; a forecast
    has none.
    """

    name = "learned"
    kind = MeanAndSpread
    needs_dynamics = False
    advice = "take a model that was trained on series observed like these, or an ensemble"
    model: str = setting("l63-cycle", "A published model, or a file or folder of one.")

    @property
    def network(self) -> "FourDVarNet":
        """The model.

        Raises:
            InputError: it is no filter.
        """
        from tf4dvar.layers import FirstGuess
        from tf4dvar.layers.contracts import trait

        model = loaded(self.model)
        is_filter = trait(model.first_guess, FirstGuess, "background") and model.flow is not None
        if not is_filter or model.uncertainty is None:
            raise InputError(
                f"{self.model} is no filter; expected a model with a first guess that takes a "
                "background, as FilterFirstGuess, a flow and an uncertainty of single times. "
                "`tf4dvar models` lists those that are published; those of windows cycle by "
                "`tf4dvar cycle model`."
            )
        return model

    def mover(self, problem):
        """States one step later: by the flow of the model, in steps of the problem's system."""
        import tensorflow as tf

        own: Any = self.network.flow
        known = problem.system
        flow = _flow_of(self.model, own.time_step if known is None else known.time_step)
        one = tf.constant(1)
        return lambda states, time: flow.ahead(states, one)[:, 0].numpy().astype("float64")

    def begin(self, problem, rng):
        """The background; where none is known, the mean of the model's training."""
        operator = problem.observation_operator
        if operator is not None or problem.covariates is not None:
            what = "covariates" if operator is None else "an observation operator"
            raise InputError(
                f"Received {what}; a learned filter takes neither covariates nor an observation "
                "operator. Mark components that are not observed with NaN, or take another method."
            )
        known = problem.prior
        start = self.network.normalisation.mean if known is None else known.mean
        mean = np.tile(np.asarray(start, "float64"), (len(problem.observations), 1))
        return MeanAndSpread(mean, np.zeros_like(mean))

    def forecast(self, problem, state, move, time, rng):
        """The mean by the flow."""
        return MeanAndSpread(move(state.mean, time), np.zeros_like(state.mean))

    def update(self, problem, state, seen, move, rng):
        """By the model, of windows of this one time."""
        observed = [series for series, of in enumerate(seen) if of.entries.size]
        observations = np.full((len(observed), 1, problem.components), np.nan, "float32")
        variance = np.ones_like(observations)
        for row, series in enumerate(observed):
            of = seen[series]
            if not of.alone:
                raise InputError(
                    "Received a covariance of the observations' errors; a learned filter takes "
                    "variances alone."
                )
            deviations = 1 / np.diag(of.root)
            observations[row, 0, of.entries] = of.values * deviations
            variance[row, 0, of.entries] = np.square(deviations)
        model = self.network
        given = {"observations": observations, "noise_variance": variance}
        given["background"] = state.mean[observed, np.newaxis].astype("float32")
        found = [each.numpy()[:, 0].astype("float64") for each in model.posterior_of(given)]
        mean, spread, misfit = state.mean.copy(), state.spread.copy(), np.full(len(seen), np.nan)
        mean[observed], spread[observed] = found
        simulated = problem.operator(state.mean)
        for series in observed:
            of = seen[series]
            innovations = of.values - of.of(simulated[series])
            # With the forecast's variance P and noise of 1 the analysis has P / (1 + P).
            share = np.square(spread[series, of.entries] * np.diag(of.root))
            expected = 1 / (1 - np.minimum(share, MOST_OF_NOISE))
            misfit[series] = np.mean(np.square(innovations) / expected)
        return MeanAndSpread(mean, spread), misfit

    def estimate(self, state):
        """The mean, and the deviation where it is known."""
        return state.mean, np.where(state.spread > 0, state.spread, np.nan)


@lru_cache(maxsize=4)
def _flow_of(name: str, time_step: float) -> Any:
    """The flow of a model by some step, kept as what is compiled of it is."""
    flow: Any = loaded(name).flow
    return flow.with_time_step(time_step)
