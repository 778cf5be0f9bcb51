"""Windows of single times, from cycles that the model goes through as it learns."""

import threading
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import Signature, protocol_plan, simulate_dataset
from tf4dvar.data.pipeline import batches_of
from tf4dvar.experiments import Experiment
from tf4dvar.models import FourDVarNet, RScore
from tf4dvar.systems import random_stream, sample_windows, system_by_name
from tf4dvar.systems.drawn_plan import MixedPlan
from tf4dvar.training.windows import VALIDATION_SEED, TrainingWindows

# Cycles of a series before those that are trained on, and these.
BEFORE, KEPT = 32, 32
# Windows of many times on which a training is validated, and to which the model is adapted.
VALIDATION_WINDOWS = 48


class CycledWindows(TrainingWindows):
    """What a learned filter is given in cycles: its own forecasts, and observations of the truth.

    For every pass series begin anew, near the truth, and the model as it is then goes through their
    cycles, the forecasts by the system. Gradients are of one analysis. Squares count by those of
    the forecasts' errors, so that no observing system has more to say than another.

    Args:
        experiment: with a system, and a protocol that is a `MixedPlan`.
        options: what its training was asked.
    """

    def __init__(self, experiment: Experiment, options: dict[str, Any]):
        plan = protocol_plan(experiment.system, experiment.protocol)
        assert isinstance(plan, MixedPlan)
        self._system, self._plans = system_by_name(experiment.system), plan.plans
        self.seed = options["seed"]
        # As many of each observing system.
        self._series = max(1, options["windows"] // (KEPT * len(self._plans)))
        self.number = self._series * KEPT * len(self._plans)
        self._drawn, self._changed = (-1, None), threading.Condition()

        def simulated(seed):
            return simulate_dataset(
                self._system, plan, VALIDATION_WINDOWS, experiment.steps, seed=seed
            )

        data, held_out = simulated(self.seed), simulated(self.seed + VALIDATION_SEED)
        self.observations, self.truth = data["observations"].values, data["truth"].values
        self.signature = Signature.of(data["observations"], plan.largest_noise)
        self.metrics = [RScore()]
        truth = held_out["truth"].values
        background = np.full_like(truth, np.nan)
        rng = random_stream("validation background", self.seed)
        background[:, 0] = truth[:, 0] + rng.normal(size=truth[:, 0].shape)
        inputs = {name: held_out[name].values for name in ("observations", "noise_variance")}
        self.validation = {**inputs, "background": background}, truth

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self.observations, self.truth)
        model.signature = self.signature

    def callbacks(self, model, first_pass):
        """What draws a pass by the model as it is when the pass begins."""
        self._draw(model, first_pass)

        def draw(epoch, logs):
            if not model.stop_training:
                self._draw(model, epoch + 1)

        return [keras.callbacks.LambdaCallback(on_epoch_end=draw)]

    def batches(self, batch_size, first_pass, share):
        """See `TrainingWindows`."""
        place = 1, len(self._system.components)
        names = "observations", "noise_variance", "background"
        shapes = dict.fromkeys(names, place), place, ()
        return batches_of(self._pass, self.number, batch_size, first_pass, share, shapes)

    def _pass(self, number):
        """What was drawn of a pass, as soon as it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._drawn[0] >= number)
            return self._drawn[1]

    def _draw(self, model, number):
        rng = random_stream("cycles", self.seed, number)
        parts = [self._cycled(model, plan, rng) for plan in self._plans]
        order = rng.permutation(self.number)
        drawn = tf.nest.map_structure(lambda *of: np.concatenate(of)[order], *parts)
        with self._changed:
            self._drawn = number, drawn
            self._changed.notify_all()

    def _cycled(self, model: FourDVarNet, plan, rng):
        """Cycles of one observing system: inputs, truth and weights, [series * cycle, ...]."""
        system, noise = self._system, np.sqrt(plan.noise_variance)
        truth = sample_windows(system, self._series, 2, rng)[:, -1]
        forecast = truth + noise * rng.normal(size=truth.shape)
        rows = []
        for _ in range(BEFORE + KEPT):
            now, background = truth[:, np.newaxis], forecast[:, np.newaxis]
            inputs = {
                "observations": plan.observe(now, rng),
                "noise_variance": np.full_like(now, plan.noise_variance),
                "background": background,
            }
            rows.append((inputs, now))
            given = {name: of.astype("float32") for name, of in inputs.items()}
            analysis = model.predict_on_batch(given)[:, 0].astype("float64")
            # What is as far from the truth as another state begins anew.
            far = np.square(analysis - truth).mean(axis=1) > 2 * self.truth.var()
            astray = far | ~np.isfinite(analysis).all(axis=1)
            begun = truth + noise * rng.normal(size=truth.shape)
            forecast = np.where(astray[:, np.newaxis], begun, analysis)
            for _ in range(plan.every):
                truth, forecast = system.step(truth), system.step(forecast)
        inputs, truths = tf.nest.map_structure(lambda *of: np.concatenate(of), *rows[BEFORE:])
        errors = (inputs["background"] - truths) / self.truth.std(axis=(0, 1))
        squares = np.square(errors).mean()
        return inputs, truths, np.full(len(truths), 1 / squares)
