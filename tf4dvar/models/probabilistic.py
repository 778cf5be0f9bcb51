"""How sure a model is: standard deviations, and samples of whole windows."""

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers import OneStepFlow
from tf4dvar.layers.gaussian_posterior import errors_of, negative_log_likelihood
from tf4dvar.layers.normalisation import by_component
from tf4dvar.models.inputs import by_name, sea_of
from tf4dvar.models.labelled import arranged
from tf4dvar.models.labelled_model import LabelledModel
from tf4dvar.models.state_checks import suspect_windows, warn_of_divergence, warn_of_misfit
from tf4dvar.models.trajectories import as_large_as, lasting_errors, nearest_trajectories
from tf4dvar.systems import random_stream

BATCH_SIZE = 32


class Posterior(NamedTuple):
    """Of true states, given the observations; physical units, NaN on land.

    Attributes:
        mean: the reconstruction, [window, time, *space, component].
        std: standard deviation of the truth around it, same shape.
    """

    mean: np.ndarray
    std: np.ndarray


class ProbabilisticModel(LabelledModel):
    """The part of `FourDVarNet` that says how sure it is; it needs its `uncertainty`."""

    def posterior(
        self, inputs: Any, batch_size: int = BATCH_SIZE, warnings: bool = True
    ) -> Posterior:
        """The reconstruction, and the standard deviation of its error.

        Args:
            inputs: as for `predict`.
            batch_size: windows at a time.
            warnings: whether to warn of states that are likely wrong.

        Raises:
            InputError: the model has no `uncertainty`.
        """
        inputs, restored = self._given(inputs)
        parts = [self.posterior_of(batch) for _, batch in _batches(inputs, batch_size)]
        mean, std = (np.concatenate(each) for each in zip(*parts, strict=True))
        if warnings:
            warn_of_divergence(mean, self.normalisation, inputs)
            warn_of_misfit(suspect_windows(self, inputs, mean))
        return Posterior(restored(mean), restored(std))

    def sample(
        self, inputs: Any, number: int, seed: int = 0, batch_size: int = BATCH_SIZE
    ) -> np.ndarray:
        """Whole windows as they may have been, given the observations.

        Draws of the Gaussian of the `uncertainty`; of series, if the prior is a flow, each is
        brought onto the trajectory that is nearest to it, where what is surest counts most. Over
        many Lyapunov times there is none near: where the solver cuts windows into segments it
        begins at a first guess with errors that last, see `lasting_errors`, and what it finds is
        as far from the mean as is stated.

        Args:
            inputs: as for `predict`.
            number: of samples of each window.
            seed: of the samples, which are the same for the same seed and number of the window.
            batch_size: windows at a time.

        Returns:
            [sample, window, time, *space, component], physical units, NaN on land.

        Raises:
            InputError: the model has no `uncertainty`.
        """
        if number < 1:
            raise InputError(f"Received number={number}; expected one sample or more.")
        inputs, restored = self._given(inputs)
        rank = self.uncertainty.rank
        parts = []
        for first, batch in _batches(inputs, batch_size):
            windows, *places = batch["observations"].shape
            shape = (number, *places[:-1], self.normalisation.mean.shape[0])
            streams = [random_stream("samples", seed, first + each) for each in range(windows)]
            drawn = [(rng.normal(size=shape), rng.normal(size=(number, rank))) for rng in streams]
            noise = (np.stack(of).astype(self.input_dtype) for of in zip(*drawn, strict=True))
            samples, std = (each.numpy() for each in self._samples_of(batch, *noise))
            parts.append(self._consistent(samples, std, batch))
        samples = np.moveaxis(np.concatenate(parts), 1, 0)
        return np.stack([restored(each) for each in samples])

    def likelihood_loss(self, inputs, truth, state):
        """What a training adds for the `uncertainty`; its gradient does not reach the state.

        Args:
            inputs: as for the call of the model.
            truth: true states, physical units, NaN where not known.
            state: the reconstruction, normalised.
        """
        if truth is None:
            raise InputError(
                "Received no true states for a model with an uncertainty, which is learned from "
                "them; give fit(observations, truth), or make the model without."
            )
        state = tf.stop_gradient(state)
        errors = self.normalisation(tf.cast(truth, state.dtype)) - state
        known = tf.math.is_finite(errors)
        sea = sea_of(by_name(inputs), state.dtype)
        known = known if sea is None else known & (sea > 0)
        errors = tf.where(known, errors, tf.zeros_like(errors))
        spread = self.spread_of(inputs, state)
        return tf.reduce_mean(negative_log_likelihood(spread, errors, known))

    def _given(self, inputs):
        """Inputs by name, and what puts states into the order of the data."""
        inputs, restored = arranged(self, inputs)
        if self._look_at(inputs) is None:
            raise InputError(f"Received {type(inputs).__name__}; expected arrays, or a data set.")
        if self.uncertainty is None:
            raise InputError(
                "The model does not say how sure it is; make and train it with "
                "uncertainty=GaussianPosterior(network)."
            )
        arrays = {name: of.astype(self.input_dtype) for name, of in by_name(inputs).items()}
        return arrays, restored

    @tf.function(reduce_retracing=True, autograph=False)
    def posterior_of(self, inputs):
        """Mean and standard deviation as tensors; see `posterior`.

        Args:
            inputs: by name.
        """
        state, sea = self._normalised_states(inputs)
        std = self.spread_of(inputs, state).std
        std = by_component(tf.multiply, std, self.normalisation.std)
        std = std if sea is None else tf.where(sea > 0, std, np.nan)
        return self._physical(state, sea), std

    @tf.function(reduce_retracing=True, autograph=False)
    def _samples_of(self, inputs, own_noise, common_noise):
        """Samples, [batch, sample, time, *space, component], and their deviations."""
        state, sea = self._normalised_states(inputs)
        spread = self.spread_of(inputs, state)
        errors = errors_of(spread, own_noise, common_noise)
        sea = None if sea is None else sea[:, tf.newaxis]
        std = by_component(tf.multiply, spread.std, self.normalisation.std)
        return self._physical(state[:, tf.newaxis] + errors, sea), std

    @tf.function(reduce_retracing=True, autograph=False)
    def _begun_with(self, inputs, errors):
        """The reconstruction from a first guess with errors, both in physical units."""
        start, values, weights, *covariates = self._prepare(inputs)
        start += by_component(tf.divide, errors, self.normalisation.std)
        state = self.solver(start, values, weights, *covariates, cost_gradient=self.cost_gradient)
        return self._physical(state, None)

    def _consistent(self, samples, std, inputs):
        """Samples that obey the prior, if it is a flow of series."""
        _, number, *shape = samples.shape
        if not isinstance(self.prior, OneStepFlow) or len(shape) > 2:
            return samples
        if self.solver.segment is not None:
            mean, std = (each.numpy()[:, np.newaxis] for each in self.posterior_of(inputs))
            errors = lasting_errors((samples - mean) / std, self.solver.segment) * std
            begun = (self._begun_with(inputs, errors[:, each]) for each in range(number))
            errors = np.stack([each.numpy() for each in begun], axis=1) - mean
            return mean + as_large_as(std, errors, self.solver.segment)
        covariates = inputs["covariates"] if self.prior.covariates else None

        def of_each(values):
            return None if values is None else np.repeat(values, number, axis=0)

        found = nearest_trajectories(
            self.prior, samples.reshape(-1, *shape), of_each(std), of_each(covariates)
        )
        return found.astype(samples.dtype).reshape(samples.shape)

    def spread_of(self, inputs, state):
        """How sure the model is of a reconstruction, a `Spread`, normalised.

        Args:
            inputs: as for the call of the model.
            state: the reconstruction, normalised.
        """
        values, weights = self.normalised_observations(inputs)
        simulated = state if self.operator is None else self.operator(state)
        departures = tf.where(weights > 0, values - simulated, tf.zeros_like(values))
        return self.uncertainty(departures, weights, state)


def _batches(inputs, size):
    """Number of the first window, and the inputs, of each batch."""
    for first in range(0, len(inputs["observations"]), size):
        yield first, {name: of[first : first + size] for name, of in inputs.items()}
