"""The end-to-end model."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.data import Signature, as_array
from tf4dvar.layers import (
    CostGradient,
    Iterates,
    LinearInterpolation,
    Normalisation,
    Solver,
    VariationalCost,
)
from tf4dvar.layers.checks import build_once, held_layers
from tf4dvar.layers.contracts import FirstGuess, Prior, seen_by, trait
from tf4dvar.layers.several_priors import priors_of
from tf4dvar.models.forecasting import ForecastingModel
from tf4dvar.models.inputs import by_name, normalised, observations_of, sea_of
from tf4dvar.models.losses import loss_of
from tf4dvar.models.parts import (
    check_parts,
    covariates_taken,
    given_beside,
    given_covariates,
    normalised_operator,
    normalised_prior,
    state_components,
)
from tf4dvar.models.saved_model import check_export, write_saved_model


@keras.saving.register_keras_serializable(package="tf4dvar")
class FourDVarNet(ForecastingModel):
    """Psi_{Phi,Gamma}: from observations to the whole state (Section 3.1).

    Physical units in and out. Inside: normalisation, first guess, K iterations of the solver on the
    variational cost, and back to physical units. All shapes below hold for fields too, with the
    axes of space between time and component, if the layers take them.

    Args:
        prior: Phi, any layer from [batch, time, component] to the same shape; in normalised
            units, or in physical ones if it has `physical_units = True`, as flows have. Or a list
            of them, for example known dynamics and a learned prior: each has a term of its own in
            the cost.
        solver: Gamma, a `GradientSolver`, or of a flow a `TrajectorySolver`.
        first_guess: where the solver starts, `LinearInterpolation` by default, or another layer
            of the same contract, as `AttentionFirstGuess`, which is trained with the rest. What
            `LinearInterpolation` fills in between observations H(x) is taken back to the state
            by the pseudo-inverse of H, if it is linear.
        observation: H, where not the state itself is observed: `LinearObservation` or any other
            layer from [batch, time, component] to [batch, time, observed], in physical units. A
            list of them are several sources, whose observations lie one after the other on the
            last axis.
        noise_variance: of the observations, one number for all or one for each observed
            component, in their squared units. The less noise, the more an entry counts. By
            default all count the same, in units of their component's deviation.
        observation_weight, prior_weight: initial lambda_1 and lambda_2 of the solver's cost, one
            for all sources of observations, or all priors, or one for each.
        uncertainty: a `GaussianPosterior`, for `posterior` and `sample`. It is trained with the
            rest, from true states; the reconstruction is as without it.

    Call arguments:
        inputs: observations, [batch, time, component], or [batch, time, observed] with an
            operator, physical units, NaN = not observed; any batch size and window length. Or a
            dict of `observations` and what else is known:

            - `noise_variance`: of every observation, shaped as they are; NaN: the model's own.
            - `background`: a state to start from in place of the first guess, [batch, time,
              component], physical units; NaN: the first guess. One that takes a background is
              given it instead, with the mean for NaN.
            - `covariates`: [batch, time, covariate], as the first guess and priors take them, if
              one does; the others do not see them.
            - `land`: true on land, [batch, *space]: whatever is there takes no part in the cost,
              its gradient, the loss and the scores. To the layers it is as what lies beyond a
              boundary of zeros.

    Returns:
        The state, [batch, time, component], physical units, no NaN but on land.

    Usage:

        prior = RK4Flow(Lorenz63ODE(trainable=False), 0.01)
        model = FourDVarNet(prior, GradientSolver(LSTMCell(), iterations=10))
        model.adapt(observations)
        model.compile("adam")
        model.fit(observations, truth, epochs=10)
        states = model.predict(observations)
    """

    def __init__(
        self,
        prior: keras.layers.Layer | Sequence[keras.layers.Layer],
        solver: Solver,
        first_guess: keras.layers.Layer | None = None,
        observation: keras.layers.Layer | Sequence[keras.layers.Layer] | None = None,
        noise_variance: float | Sequence[float] | None = None,
        observation_weight: float | Sequence[float] = 1.0,
        prior_weight: float | Sequence[float] = 1.0,
        uncertainty: keras.layers.Layer | None = None,
        **kwargs,
    ):
        check_parts(prior, solver, first_guess, observation)
        super().__init__(**kwargs)
        if noise_variance is not None and not np.all(np.array(noise_variance) > 0):
            raise ValueError(
                f"Received noise_variance={noise_variance}; expected positive numbers."
            )
        self.prior = prior if isinstance(prior, keras.layers.Layer) else list(prior)
        self.solver = solver
        self.noise_variance = (
            None if noise_variance is None else np.array(noise_variance, float).tolist()
        )
        self.normalisation = Normalisation(dtype=self.dtype_policy)
        self.first_guess = (
            LinearInterpolation(dtype=self.dtype_policy.name)
            if first_guess is None
            else first_guess
        )
        self.operator = normalised_operator(observation, self.first_guess, self.normalisation)
        cost = VariationalCost(
            normalised_prior(prior, self.normalisation),
            observation_weight,
            prior_weight,
            operator=self.operator,
            dtype=self.dtype_policy,
        )
        self.uncertainty = uncertainty
        self.cost_gradient = CostGradient(cost, dtype=self.dtype_policy)

    @property
    def priors(self) -> list:
        """The priors in a list, one or several, as they were given."""
        return priors_of(self.prior)

    @property
    def input_dtype(self):
        """What Keras casts observations to: no half precision, they are in physical units."""
        return self.normalisation.compute_dtype

    @property
    def iterations(self) -> int:
        """K, the number of iterations of the solver."""
        return self.solver.iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.solver.iterations = value

    def build(self, input_shape):
        """Create all weights for observations [batch, time, *space, component]."""
        shape = tuple(observations_of(input_shape))
        if len(shape) < 3 or shape[-1] is None:
            raise ValueError(
                f"Received observations of shape {shape}; expected [batch, time, component], or "
                "[batch, time, *space, component] of a field."
            )
        shape = (None, None, *shape[2:])
        self.observations_shape = shape
        build_once(self.first_guess, shape, call=self._first_first_guess)
        components = state_components(self.operator, self.first_guess, shape, self.input_dtype)
        state_shape = (*shape[:-1], components)
        for layer in (self.normalisation, self.cost_gradient):
            build_once(layer, state_shape)
        build_once(self.solver, state_shape, shape)
        if self.operator is not None and sum(self.operator.sources) != shape[-1]:
            raise ValueError(
                f"Received observations of shape {shape}; the observation operators "
                f"give {self.operator.sources} components, which lie one after the other."
            )
        if self.uncertainty is not None:
            build_once(self.uncertainty, shape, shape, state_shape)
        parts = self.normalisation, self.first_guess, *self.priors, self.cost_gradient, self.solver
        for layer in parts:
            if not isinstance(layer, keras.Model):  # which knows it
                layer.output_shape = state_shape  # for `summary`
        for prior in self.priors:
            # A frozen layer does not by itself freeze the layers that it creates when built.
            for variable in () if prior.trainable else prior.variables:
                variable.trainable = False

    def _first_first_guess(self, values):
        """A call by which its weights are made: observations and mask are of one shape."""
        taken = covariates_taken(FirstGuess, self.first_guess)
        covariates = [tf.repeat(values[..., :1], taken, axis=-1)] if taken else []
        return self.first_guess(values, values, *covariates)

    @property
    def covariates(self) -> int:
        """Number of covariates that the first guess, or a prior, takes."""
        of_guess = covariates_taken(FirstGuess, self.first_guess)
        return max(of_guess, covariates_taken(Prior, *self.priors))

    @property
    def observed_components(self) -> int:
        """Number of components of the observations."""
        return self.observation_normalisation().mean.shape[0]

    def call(self, inputs, training=None):
        """Reconstruct the state; layers see `training` as in every Keras model."""
        return self._physical(*self._normalised_states(inputs))

    def _normalised_states(self, inputs):
        """The reconstruction, normalised, and what is sea; see `sea_of`."""
        sea = sea_of(by_name(inputs), self.input_dtype)
        return self.solver(*self._prepare(inputs), sea=sea, cost_gradient=self.cost_gradient), sea

    def _physical(self, states, sea):
        states = self.normalisation.inverse(states)
        return states if sea is None else tf.where(sea > 0, states, np.nan)

    def iterates(self, inputs, iterations=None, every_state=True):
        """The state (physical units) and the cost (normalised) at every iteration.

        Args:
            inputs: as for the call.
            iterations: another K for this call alone.
            every_state: as for `GradientSolver.iterates`.
        """
        inputs = {
            name: tf.cast(values if tf.is_tensor(values) else as_array(values), self.input_dtype)
            for name, values in by_name(inputs).items()
        }
        if not self.built:
            self.build(inputs["observations"].shape)
        start, values, mask, *covariates = self._prepare(inputs)
        sea = sea_of(inputs, self.input_dtype)
        states, costs = self.solver.iterates(
            start,
            values,
            mask,
            self.cost_gradient,
            iterations,
            every_state,
            covariates=next(iter(covariates), None),
            sea=sea,
        )
        return Iterates(self._physical(states, sea), costs)

    def prior_prediction(self, state, covariates=None):
        """Phi(state), physical units in and out, [batch, time, component].

        Of several the mean of their predictions, see `VariationalCost.prediction`.

        Args:
            state: [batch, time, component].
            covariates: if a prior takes some, [batch, time, covariate].
        """
        state = self.normalisation(tf.cast(state, self.input_dtype))
        build_once(self.cost_gradient, (None, None, *state.shape[2:]))
        given = () if covariates is None else (tf.cast(covariates, self.input_dtype),)
        return self.normalisation.inverse(self.cost_gradient.cost.prediction(state, *given))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The training loss, in normalised units, and what layers add to it (`losses`).

        Args:
            x: inputs, as for the call.
            y: true states, [batch, time, component], NaN where not known.
            y_pred: the reconstruction.
            sample_weight: see `SupervisedLoss`.
            training: what the priors are told where the loss asks for its predictions.
        """
        return loss_of(self, x, y, y_pred, sample_weight, training)

    def _prepare(self, inputs):
        """First guess, normalised observations, their weights, and what covariates priors take."""
        inputs = by_name(inputs)
        values, weights = self.normalised_observations(inputs)
        covariates = given_covariates(inputs, self.first_guess, self.priors)
        guessed_by = covariates if covariates_taken(FirstGuess, self.first_guess) else []
        seen = seen_by(self.first_guess, weights)
        background = inputs.get("background")
        if background is not None:
            background = self.normalisation(tf.cast(background, values.dtype))
        beside = given_beside(self, values, background)
        start = tf.cast(self.first_guess(values, seen, *guessed_by, **beside), values.dtype)
        if self.operator is not None and trait(self.first_guess, FirstGuess, "of_observations"):
            start = self.operator.pseudo_inverse(start)
        if background is not None and not trait(self.first_guess, FirstGuess, "background"):
            start = tf.where(tf.math.is_nan(background), start, background)
        return start, values, weights, *self.prior_covariates(inputs)

    def prior_covariates(self, inputs):
        """The covariates in a list, which is empty where no prior takes some.

        Args:
            inputs: by their names.
        """
        return [inputs["covariates"]] if covariates_taken(Prior, *self.priors) else []

    def normalised_observations(self, inputs):
        """Normalised observations with 0 for NaN, and the weight of each, 0 for NaN.

        Args:
            inputs: as for the call.
        """
        return normalised(by_name(inputs), self.observation_normalisation(), self.noise_variance)

    def observation_normalisation(self) -> Normalisation:
        """The normalisation of the observations; without an operator that of the state."""
        # No attribute: Keras would save the normalisation under the first name that it finds.
        return (
            self.normalisation if self.operator is None else self.operator.observation_normalisation
        )

    def export(self, filepath, format="tf_saved_model", **kwargs):
        """Write a SavedModel for any batch and window length; see `tf4dvar.export.save`.

        Args:
            filepath: its folder.
            format: of Keras' formats that of TensorFlow alone.
            **kwargs: none. The signatures are always those of `tf4dvar.export.SavedModel`.
        """
        check_export(self, format, kwargs)
        write_saved_model(self, filepath)

    def get_config(self):
        """All arguments; the layers serialised."""
        cost = self.cost_gradient.cost
        operators = None if self.operator is None else self.operator.operators
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "solver": keras.saving.serialize_keras_object(self.solver),
            "first_guess": keras.saving.serialize_keras_object(self.first_guess),
            "observation": operators
            and [keras.saving.serialize_keras_object(each) for each in operators],
            "noise_variance": self.noise_variance,
            "observation_weight": cost.observation_weight,
            "prior_weight": cost.prior_weight,
            "uncertainty": self.uncertainty
            and keras.saving.serialize_keras_object(self.uncertainty),
            "signature": self.signature and self.signature.to_json(),
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the layers that it holds, then the model."""
        config = dict(config)
        config.pop("learn_weights", None)  # of earlier versions, always true
        signature = config.pop("signature", None)  # of the data, no argument
        model = cls(**held_layers(config))
        model.signature = None if signature is None else Signature.from_json(signature)
        return model
