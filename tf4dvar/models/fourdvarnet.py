"""The end-to-end model."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import as_array
from tf4dvar.errors import InputError
from tf4dvar.layers import (
    GradientSolver,
    LinearInterpolation,
    NormalisedObservation,
    NormalisedPrior,
    Pathway,
    Scaling,
    VariationalCost,
)
from tf4dvar.layers.checks import build_once, held_layers
from tf4dvar.layers.contracts import FirstGuess, ObservationOperator, Prior, trait
from tf4dvar.models.input_checks import CheckedModel
from tf4dvar.models.saved_model import write_saved_model
from tf4dvar.models.training_loss import training_loss

LOSSES = ("supervised", "unsupervised")


@keras.saving.register_keras_serializable(package="tf4dvar")
class FourDVarNet(CheckedModel):
    """Psi_{Phi,Gamma}: from observations to the whole state (Section 3.1).

    Physical units in and out. Inside: scaling, first guess, K iterations of the solver on the
    variational cost, and scaling back.

    Args:
        prior: Phi, any layer from [batch, time, component] to the same shape; in normalised
            units, or in physical ones if it has `physical_units = True`, as flows have.
        cell: the update, `LSTMCell`, `ConvCell` or another of the same contract.
        iterations: K; the attribute `iterations` changes it at any time.
        loss: "supervised" (eq. 14: mean squared error in normalised units) or "unsupervised"
            (eq. 13: the variational cost with the fixed `loss_weights`).
        observation_weight, prior_weight: initial lambda_1 and lambda_2 of the solver's cost;
            lambda_1 may be one for all sources of observations, or one for each.
        learn_weights: whether the solver's lambdas are trained.
        loss_weights: lambda_1, likewise, and lambda_2 of the unsupervised loss.
        prior_loss_weights: weights of the mean squared residuals (x - Phi(x))^2 of the truth
            and of the reconstruction, which the supervised loss may add so that Phi keeps
            describing the dynamics; see `supervised_loss`.
        first_guess: where the solver starts, `LinearInterpolation` by default, or another layer
            of the same contract, as `AttentionFirstGuess`, which is trained with the rest. What
            `LinearInterpolation` fills in between observations H(x) is taken back to the state
            by the pseudo-inverse of H, if it is linear.
        observation_operator: H, where not the state itself is observed: `LinearObservation` or
            any other layer from [batch, time, component] to [batch, time, observed], in physical
            units. A list of them are several sources, whose observations lie one after the other
            on the last axis.
        noise_variance: of the observations, one number for all or one for each observed
            component, in their squared units. The less noise, the more an entry counts. By
            default all count the same, in units of their component's deviation.
        unroll, recompute, pieces: see `GradientSolver`.

    Call arguments:
        observations: [batch, time, component], or [batch, time, observed] with an operator,
            physical units, NaN = not observed. Any batch size and window length. Or a pair
            of them and the variance of their noise, an array of the same shape.

    Returns:
        The state, [batch, time, component], physical units, no NaN.

    Usage:

        model = FourDVarNet(RK4Flow(Lorenz63ODE(trainable=False), 0.01), LSTMCell())
        model.adapt(observations)
        model.compile("adam")
        model.fit(observations, truth, epochs=10)
        states = model.predict(observations)
    """

    def __init__(
        self,
        prior: keras.layers.Layer,
        cell: keras.layers.Layer,
        iterations: int = 10,
        loss: str = "supervised",
        observation_weight: float | Sequence[float] = 1.0,
        prior_weight: float = 1.0,
        learn_weights: bool = True,
        loss_weights: tuple[float | Sequence[float], float] = (0.01, 1.0),
        prior_loss_weights: tuple[float, float] = (0.0, 0.0),
        first_guess: keras.layers.Layer | None = None,
        observation_operator: keras.layers.Layer | Sequence[keras.layers.Layer] | None = None,
        noise_variance: float | Sequence[float] | None = None,
        unroll: bool = False,
        recompute: bool = False,
        pieces: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if loss not in LOSSES:
            raise ValueError(f"Received loss={loss!r}; expected one of {LOSSES}.")
        for name, layer in (("prior", prior), ("cell", cell), ("first_guess", first_guess)):
            if not isinstance(layer, keras.layers.Layer) and (name, layer) != ("first_guess", None):
                raise ValueError(
                    f"Received {name}={layer!r}; expected a Keras layer, built or not."
                )
        self.prior = prior
        self.training_loss = loss
        self.loss_weights = tuple(loss_weights)
        self.prior_loss_weights = tuple(prior_loss_weights)
        if noise_variance is not None and not np.all(np.array(noise_variance) > 0):
            raise ValueError(
                f"Received noise_variance={noise_variance}; expected positive numbers."
            )
        self.noise_variance = (
            None if noise_variance is None else np.array(noise_variance, float).tolist()
        )
        self.scaling = Scaling(dtype=self.dtype_policy)
        self.first_guess = (
            LinearInterpolation(dtype=self.dtype_policy.name)
            if first_guess is None
            else first_guess
        )
        self.normalised_prior = (
            NormalisedPrior(prior, self.scaling, dtype=self.dtype_policy)
            if trait(prior, Prior, "physical_units")
            else prior
        )
        self.operator = self._normalised_operator(observation_operator)
        cost = VariationalCost(
            self.normalised_prior,
            observation_weight,
            prior_weight,
            learn_weights,
            self.operator,
            dtype=self.dtype_policy,
        )
        self.solver = GradientSolver(
            cost,
            cell,
            iterations,
            unroll=unroll,
            recompute=recompute,
            pieces=pieces,
            dtype=self.dtype_policy,
        )

    def _normalised_operator(self, operators):
        """H between normalised units; None where the state itself is observed."""
        if operators is None:
            return None
        if isinstance(operators, keras.layers.Layer):
            operators = [operators]
        linear = all(trait(each, ObservationOperator, "linear") for each in operators)
        if trait(self.first_guess, FirstGuess, "of_observations") and not linear:
            raise ValueError(
                "Received an observation operator that is not linear and has no pseudo-inverse to "
                "begin with; give a first_guess that is learned, for example "
                "AttentionFirstGuess(components=number of the state's components)."
            )
        return NormalisedObservation(
            operators, self.scaling, Scaling(dtype=self.dtype_policy), dtype=self.dtype_policy
        )

    @property
    def input_dtype(self):
        """What Keras casts observations to: no half precision, they are in physical units."""
        return self.scaling.compute_dtype

    @property
    def iterations(self) -> int:
        """K, the number of iterations of the solver."""
        return self.solver.iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.solver.iterations = value

    def build(self, input_shape):
        """Create all weights for observations [batch, time, component]."""
        # With the variances of the noise there are two shapes, which are the same.
        paired = len(input_shape) == 2 and not isinstance(input_shape[0], int | None)
        shape = tuple(input_shape[0] if paired else input_shape)
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"Received observations of shape {shape}; expected [batch, time, component]."
            )
        shape = (None, None, shape[-1])
        # Observations and mask are of one shape.
        build_once(self.first_guess, shape, call=lambda values: self.first_guess(values, values))
        state_shape = (None, None, self._state_components(shape))
        for layer in (self.scaling, self.solver):
            build_once(layer, state_shape)
        if self.operator is not None and sum(self.operator.sources) != shape[-1]:
            raise ValueError(
                f"Received observations of shape {tuple(input_shape)}; the observation operators "
                f"give {self.operator.sources} components, which lie one after the other."
            )
        for layer in (
            self.scaling,
            self.first_guess,
            self.prior,
            self.normalised_prior,
            self.solver,
        ):
            if not isinstance(layer, keras.Model):  # which knows it
                layer.output_shape = state_shape  # for `summary`
        if not self.prior.trainable:
            # A frozen layer does not by itself freeze the layers that it creates when built.
            for variable in self.prior.variables:
                variable.trainable = False

    def _state_components(self, shape):
        """Number of components of the state that such observations are of."""
        if self.operator is None:
            return shape[-1]
        if trait(self.first_guess, FirstGuess, "of_observations"):
            return self.operator.operators[0].components
        observations = keras.KerasTensor(shape, self.input_dtype)
        return self.first_guess.compute_output_spec(observations, observations).shape[-1]

    @property
    def needs_truth(self) -> bool:
        """Whether the training loss asks for true states."""
        return self._compile_loss is not None or self.training_loss == "supervised"

    @property
    def observed_components(self) -> int:
        """Number of components of the observations."""
        return self.observation_scaling().mean.shape[0]

    def call(self, observations, training=None):
        """Reconstruct the state; layers see `training` as in every Keras model."""
        start, values, mask = self._prepare(observations)
        return self.scaling.physical(self.solver(start, values, mask))

    def pathway(self, observations, iterations=None, every_state=True):
        """The state (physical units) and the cost (normalised) at every iteration.

        Args:
            observations: as for the call.
            iterations: another K for this call alone.
            every_state: as for `GradientSolver.pathway`.
        """
        observations = keras.tree.map_structure(
            lambda values: tf.cast(
                values if tf.is_tensor(values) else as_array(values), self.input_dtype
            ),
            observations,
        )
        if not self.built:
            self.build(keras.tree.flatten(observations)[0].shape)
        start, values, mask = self._prepare(observations)
        states, costs = self.solver.pathway(start, values, mask, iterations, every_state)
        return Pathway(self.scaling.physical(states), costs)

    def prior_prediction(self, state):
        """Phi(state), physical units in and out, [batch, time, component]."""
        state = tf.cast(state, self.input_dtype)
        prediction = self.normalised_prior(self.scaling(state))
        return self.scaling.physical(tf.cast(prediction, state.dtype))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The training loss, in normalised units, and what layers add to it (`losses`).

        Args:
            x: observations, as for the call.
            y: true states, [batch, time, component], NaN where not known.
            y_pred: the reconstruction.
            sample_weight: see `supervised_loss`.
            training: what the prior is told where the loss asks for its predictions.
        """
        return training_loss(self, self._compile_loss, x, y, y_pred, sample_weight, training)

    def _prepare(self, inputs):
        """First guess, normalised observations with 0 for NaN, and weight of each, 0 for NaN."""
        values, weights = self.normalised_observations(inputs)
        start = self.first_guess(values, tf.cast(weights > 0, values.dtype))
        start = tf.cast(start, values.dtype)
        if self.operator is not None and trait(self.first_guess, FirstGuess, "of_observations"):
            start = self.operator.pseudo_inverse(start)
        return start, values, weights

    def normalised_observations(self, inputs):
        """Normalised observations with 0 for NaN, and the weight of each, 0 for NaN.

        Args:
            inputs: as for the call.
        """
        observations, variance = inputs if isinstance(inputs, list | tuple) else (inputs, None)
        if variance is None and self.noise_variance is not None:
            variance = np.array(self.noise_variance)
        scaling = self.observation_scaling()
        components = scaling.mean.shape[0]
        if observations.shape[-1] != components:
            raise ValueError(
                f"Received observations of shape {observations.shape}; expected "
                f"{components} components on the last axis, an unobserved one filled with NaN."
            )
        tf.debugging.Assert(
            tf.reduce_all(~tf.math.is_inf(observations)),
            ["Received infinite observations; mark a missing value with NaN."],
        )
        observed = ~tf.math.is_nan(observations)
        values = tf.where(observed, scaling(observations), 0.0)
        if variance is None:
            return values, tf.cast(observed, values.dtype)
        variance = tf.cast(variance, values.dtype)
        tf.debugging.Assert(
            tf.reduce_all((variance > 0) | ~observed),
            ["Received a noise variance that is not positive where there is an observation."],
        )
        precision = tf.square(tf.cast(scaling.deviation, values.dtype)) / variance
        return values, tf.where(observed, precision, 0.0)

    def observation_scaling(self) -> Scaling:
        """The scaling of the observations; without an operator that of the state."""
        # No attribute: Keras would save the scaling under the first name that it finds.
        return self.scaling if self.operator is None else self.operator.observation_scaling

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a SavedModel for any batch and window length; see `tf4dvar.export.save`.

        Args:
            filepath: its folder.
            format: of Keras' formats that of TensorFlow alone.
            **kwargs: none. The signatures are always the two of `tf4dvar.export.save`.
        """
        if format != "tf_saved_model" or kwargs:
            raise InputError(
                f"Received format={format!r} and {sorted(kwargs)}; expected tf_saved_model, which "
                "has signatures of its own. `tf4dvar.export.onnx.save_onnx` writes ONNX; for "
                "others export the SavedModel and convert it."
            )
        if not self.built:
            raise InputError("The model has no weights yet; train it, or call `build`, first.")
        write_saved_model(self, filepath)

    def get_config(self):
        """All arguments; the prior and the cell serialised."""
        cost = self.solver.gradient.cost
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "cell": keras.saving.serialize_keras_object(self.solver.cell),
            "iterations": self.iterations,
            "loss": self.training_loss,
            "observation_weight": cost.observation_weight,
            "prior_weight": cost.prior_weight,
            "learn_weights": cost.learn_weights,
            "loss_weights": self.loss_weights,
            "prior_loss_weights": self.prior_loss_weights,
            "first_guess": keras.saving.serialize_keras_object(self.first_guess),
            "observation_operator": None
            if self.operator is None
            else [keras.saving.serialize_keras_object(each) for each in self.operator.operators],
            "noise_variance": self.noise_variance,
            "unroll": self.solver.unroll,
            "recompute": self.solver.recompute,
            "pieces": self.solver.pieces,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the layers that it holds, then the model."""
        return cls(**held_layers(config, "prior", "cell", "first_guess", "observation_operator"))
