"""The end-to-end model."""

import keras
import numpy as np
import tensorflow as tf

from tf4dvar.layers import (
    GradientSolver,
    LinearInterpolation,
    NormalisedPrior,
    Pathway,
    Scaling,
    VariationalCost,
)
from tf4dvar.layers.checks import build_once
from tf4dvar.models.losses import supervised_loss, unsupervised_loss

LOSSES = ("supervised", "unsupervised")


@keras.saving.register_keras_serializable(package="tf4dvar")
class FourDVarNet(keras.Model):
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
        observation_weight, prior_weight: initial lambda_1 and lambda_2 of the solver's cost.
        learn_weights: whether the solver's lambdas are trained.
        loss_weights: lambda_1 and lambda_2 of the unsupervised loss.
        prior_loss_weights: weights of the mean squared residuals (x - Phi(x))^2 of the truth
            and of the reconstruction, which the supervised loss may add so that Phi keeps
            describing the dynamics; see `supervised_loss`.
        first_guess: where the solver starts, `LinearInterpolation` by default, or another layer
            of the same contract, as `AttentionFirstGuess`, which is trained with the rest.
        unroll, recompute, pieces: see `GradientSolver`.

    Call arguments:
        observations: [batch, time, component], physical units, NaN = not observed. Any batch
            size and window length.

    Returns:
        The state, same shape, physical units, no NaN.

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
        observation_weight: float = 1.0,
        prior_weight: float = 1.0,
        learn_weights: bool = True,
        loss_weights: tuple[float, float] = (0.01, 1.0),
        prior_loss_weights: tuple[float, float] = (0.0, 0.0),
        first_guess: keras.layers.Layer | None = None,
        unroll: bool = False,
        recompute: bool = False,
        pieces: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if loss not in LOSSES:
            raise ValueError(f"Received loss={loss!r}; expected one of {LOSSES}.")
        self.prior = prior
        self.training_loss = loss
        self.loss_weights = tuple(loss_weights)
        self.prior_loss_weights = tuple(prior_loss_weights)
        self.scaling = Scaling(dtype=self.dtype_policy)
        self.first_guess = (
            LinearInterpolation(dtype=self.dtype_policy.name)
            if first_guess is None
            else first_guess
        )
        self.normalised_prior = (
            NormalisedPrior(prior, self.scaling, dtype=self.dtype_policy)
            if getattr(prior, "physical_units", False)
            else prior
        )
        cost = VariationalCost(
            self.normalised_prior,
            observation_weight,
            prior_weight,
            learn_weights,
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

    @property
    def iterations(self) -> int:
        """K, the number of iterations of the solver."""
        return self.solver.iterations

    @iterations.setter
    def iterations(self, value: int) -> None:
        self.solver.iterations = value

    def build(self, input_shape):
        """Create all weights for [batch, time, component]."""
        shape = tuple(input_shape)
        if len(shape) != 3 or shape[-1] is None:
            raise ValueError(
                f"Received observations of shape {shape}; expected [batch, time, component]."
            )
        shape = (None, None, shape[-1])
        for layer in (self.scaling, self.first_guess, self.solver):
            build_once(layer, shape)
        if not self.prior.trainable:
            # A frozen layer does not by itself freeze the layers that it creates when built.
            for variable in self.prior.variables:
                variable.trainable = False

    def adapt(self, observations: np.ndarray) -> None:
        """Fit the scaling to training observations, [window, time, component]; see `Scaling`."""
        if not self.built:
            self.build(np.shape(observations))
        self.scaling.adapt(observations)

    def call(self, observations):
        """Reconstruct the state."""
        start, values, mask = self._prepare(observations)
        return self.scaling.physical(self.solver(start, values, mask))

    def pathway(self, observations, iterations=None, every_state=True):
        """The state (physical units) and the cost (normalised) at every iteration.

        Args:
            observations: as for the call.
            iterations: another K for this call alone.
            every_state: as for `GradientSolver.pathway`.
        """
        observations = tf.convert_to_tensor(observations, self.compute_dtype)
        if not self.built:
            self.build(observations.shape)
        start, values, mask = self._prepare(observations)
        states, costs = self.solver.pathway(start, values, mask, iterations, every_state)
        return Pathway(self.scaling.physical(states), costs)

    def prior_prediction(self, state):
        """Phi(state), physical units in and out, [batch, time, component]."""
        state = tf.convert_to_tensor(state, self.compute_dtype)
        return self.scaling.physical(self.normalised_prior(self.scaling(state)))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The training loss, in normalised units."""
        state = self.scaling(y_pred)
        if self.training_loss == "supervised":
            if y is None:
                raise ValueError(
                    "The supervised loss received no true states; give fit(observations, truth), "
                    "or build the model with loss='unsupervised'."
                )
            truth = self.scaling(tf.cast(y, state.dtype))
            return supervised_loss(state, truth, self.normalised_prior, *self.prior_loss_weights)
        _, values, mask = self._prepare(tf.cast(x, state.dtype))
        return unsupervised_loss(state, values, mask, self.normalised_prior, *self.loss_weights)

    def _prepare(self, observations):
        """First guess, normalised observations with 0 for NaN, and mask."""
        components = self.scaling.mean.shape[0]
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
        values = tf.where(observed, self.scaling(observations), 0.0)
        mask = tf.cast(observed, values.dtype)
        return self.first_guess(values, mask), values, mask

    def get_config(self):
        """All arguments; the prior and the cell serialised."""
        cost = self.solver.gradient.cost
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "cell": keras.saving.serialize_keras_object(self.solver.cell),
            "iterations": self.iterations,
            "loss": self.training_loss,
            "observation_weight": cost.initial_weights[0],
            "prior_weight": cost.initial_weights[1],
            "learn_weights": cost.learn_weights,
            "loss_weights": self.loss_weights,
            "prior_loss_weights": self.prior_loss_weights,
            "first_guess": keras.saving.serialize_keras_object(self.first_guess),
            "unroll": self.solver.unroll,
            "recompute": self.solver.recompute,
            "pieces": self.solver.pieces,
        }

    @classmethod
    def from_config(cls, config):
        """Rebuild the layers that it holds, then the model."""
        config = dict(config)
        # A model saved before it could have another has no `first_guess`.
        for name in {"prior", "cell", "first_guess"} & config.keys():
            config[name] = keras.saving.deserialize_keras_object(config[name])
        return cls(**config)
