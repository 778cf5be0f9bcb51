"""What a classical method is given: windows of observations, and what is known besides."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from tf4dvar.classical.covariance import Gaussian, check_covariance, climatology
from tf4dvar.classical.observation_operator import (
    LinearOperator,
    ObservedState,
    differentiable_operator,
)
from tf4dvar.data import check_observations
from tf4dvar.errors import InputError
from tf4dvar.systems import System

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Problem:
    """Windows to reconstruct, and what is known besides.

    Attributes:
        observations: y, [window, time, observed], physical units, NaN = not observed.
        flow: the dynamics f, a `OneStepFlow` of dtype float64, which knows its time step; for
            `fsgd` and `weak-lbfgs` any prior; None where they are not known: `oi` and `enks`
            need none.
        noise_variance: R, the variance of the errors of the observations: a number, or an array
            broadcastable to the observations. With four axes, broadcastable to
            [window, time, observed, observed], it is their covariance at every time.
        background: m and B, what is known of the first state; by default the climatology of
            `system`, where there is one.
        observation_operator: H, a matrix [observed, component], or a layer or a function of
            tensors from [batch, time, component] to [batch, time, observed] that looks at every
            time by itself, in float64. By default the state itself is observed.
        first_guess: states to begin with, [window, time, component], for the methods that take
            some; interpolation of the observations by default.
        system: where climatology, training states and free trajectories come from.
        covariates: what the flow depends on besides the state, known at every time, [window, time,
            covariate]; from one time to the next it is linear.

    Raises:
        InputError: shapes do not fit together, or a variance is negative or not finite.
    """

    observations: np.ndarray
    flow: "keras.layers.Layer"
    noise_variance: float | np.ndarray
    background: Gaussian | None = None
    observation_operator: np.ndarray | Callable[[Any], Any] | None = None
    first_guess: np.ndarray | None = None
    system: System | None = None
    covariates: np.ndarray | None = None

    def __post_init__(self) -> None:
        check_observations(self.observations)
        self._check_noise()
        self._check_components()
        self._check_covariates()
        guess = self.first_guess
        if guess is not None and (guess.shape != self.shape or not np.isfinite(guess).all()):
            raise InputError(
                f"Received a first guess of shape {guess.shape}; expected finite states of shape "
                f"{self.shape}."
            )

    @property
    def components(self) -> int:
        """Number of components of the state."""
        if not callable(self.observation_operator):
            observed = self.observations.shape[-1:]
            return (observed if self.observation_operator is None else self._matrix.shape)[-1]
        if self.background is not None:
            return len(self.background.mean)
        if self.system is not None:
            return len(self.system.components)
        if self.first_guess is not None:
            return self.first_guess.shape[-1]
        raise InputError(
            "Received an observation operator that is no matrix, so that the number of components "
            "is not known; give a background, a system or a first guess."
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the states: windows, times, components."""
        windows, steps, _ = self.observations.shape
        return windows, steps, self.components

    @cached_property
    def operator(self) -> ObservedState:
        """H from arrays to arrays."""
        if self.observation_operator is None:
            return ObservedState(self.components)
        if not callable(self.observation_operator):
            return LinearOperator(self._matrix)
        return differentiable_operator(
            self.observation_operator, self.components, self.observations.shape[-1]
        )

    @cached_property
    def observed(self) -> np.ndarray:
        """Which entries are observed, shaped as the observations."""
        return ~np.isnan(self.observations)

    @cached_property
    def values(self) -> np.ndarray:
        """The observations, 0 where there is none."""
        return np.where(self.observed, self.observations, 0.0)

    @cached_property
    def covariates_of_steps(self) -> np.ndarray | None:
        """What `OneStepFlow.step` takes from every time on, [window, time, 2 * covariate]."""
        if self.covariates is None:
            return None
        following = np.concatenate([self.covariates[:, 1:], self.covariates[:, -1:]], axis=1)
        return np.concatenate([self.covariates, following], axis=-1)

    @cached_property
    def prior(self) -> Gaussian | None:
        """The background, else the climatology of the system, else None."""
        if self.background is None and self.system is not None:
            return climatology(self.system)
        return self.background

    def required_prior(self) -> Gaussian:
        """The background or the climatology.

        Raises:
            InputError: there is neither.
        """
        if self.prior is None:
            raise InputError(
                "The method needs to know the first state: give the problem a background, or a "
                "system whose climatology it is."
            )
        return self.prior

    def required_system(self) -> System:
        """The system.

        Raises:
            InputError: there is none.
        """
        if self.system is None:
            raise InputError("The method simulates states: give the problem a system.")
        return self.system

    def part(self, windows: slice | np.ndarray) -> "Problem":
        """The same of some windows."""
        noise = np.asarray(self.noise_variance)
        return replace(
            self,
            observations=self.observations[windows],
            noise_variance=noise[windows] if noise.ndim > 2 and len(noise) > 1 else noise,
            first_guess=None if self.first_guess is None else self.first_guess[windows],
            covariates=None if self.covariates is None else self.covariates[windows],
        )

    def between(self, start: int, stop: int) -> "Problem":
        """The same of the times from one on and before another.

        Args:
            start, stop: their numbers.
        """
        observed = self.observations.shape
        noise = np.asarray(self.noise_variance)
        if noise.ndim > 1:
            full = (*observed, observed[-1]) if self._full else observed
            noise = np.broadcast_to(noise, full)[:, start:stop]
        return replace(
            self,
            observations=self.observations[:, start:stop],
            noise_variance=noise,
            first_guess=None if self.first_guess is None else self.first_guess[:, start:stop],
            covariates=None if self.covariates is None else self.covariates[:, start:stop],
        )

    def with_first_guess(self, first_guess: np.ndarray | None) -> "Problem":
        """The same with a first guess."""
        return replace(self, first_guess=first_guess)

    def covariance(self, windows: Any = slice(None), times: Any = slice(None)) -> np.ndarray:
        """R, [..., observed, observed] of some windows and times; any value where not observed."""
        self._check_positive()
        chosen = self._errors[windows, times]
        return chosen if self._full else chosen[..., None] * np.eye(chosen.shape[-1])

    def precision(self, times: Any = slice(None)) -> np.ndarray:
        """R^-1 of what is observed, [window, time, observed, observed], zero for all else."""
        observed = self.observed[:, times]
        if not self._full:
            return self.inverse_variance[:, times][..., None] * np.eye(observed.shape[-1])
        both = observed[..., :, None] & observed[..., None, :]
        # Ones on the diagonal where nothing is observed make the observed block's inverse stand.
        filled = np.where(
            both, self.covariance(times=times), ~observed[..., None] * np.eye(observed.shape[-1])
        )
        return np.where(both, np.linalg.inv(filled), 0.0)

    @cached_property
    def inverse_variance(self) -> np.ndarray:
        """1 / R, shaped as the observations, zero where not observed.

        Raises:
            InputError: R is no variance of every entry, but a covariance.
        """
        if self._full:
            raise InputError(
                "Received a covariance of the observations' errors; this method takes variances "
                "alone, [window, time, observed]."
            )
        self._check_positive()
        return self.observed / np.where(self.observed, self._errors, 1.0)

    @property
    def error_variance(self) -> np.ndarray:
        """The variance of every observation's error, shaped as the observations."""
        return np.einsum("wtii->wti", self._errors) if self._full else self._errors

    def relative_weights(self) -> np.ndarray:
        """1 / R in any unit, zero where not observed: a single variance is 1, and may be zero."""
        return (
            self.inverse_variance if np.ndim(self.noise_variance) else self.observed.astype(float)
        )

    def relative_precision(self) -> np.ndarray:
        """R^-1 in that unit, [window, time, observed, observed]."""
        if self._full:
            return self.precision()
        return self.relative_weights()[..., None] * np.eye(self.observed.shape[-1])

    def alike(self) -> list[np.ndarray]:
        """Indices of the windows that observe the same entries with errors of the same size."""
        pattern = self.precision() if self._full else self.inverse_variance
        patterns = pattern.reshape(len(pattern), -1)
        _, kind = np.unique(patterns, axis=0, return_inverse=True)
        return [np.flatnonzero(kind.ravel() == number) for number in range(kind.max() + 1)]

    @property
    def _matrix(self) -> np.ndarray:
        return np.asarray(self.observation_operator, float)

    @property
    def _full(self) -> bool:
        return np.ndim(self.noise_variance) == 4

    @cached_property
    def _errors(self) -> np.ndarray:
        shape = self.observations.shape
        return np.broadcast_to(
            np.asarray(self.noise_variance, float), (*shape, shape[-1]) if self._full else shape
        )

    def _check_noise(self) -> None:
        try:
            errors = self._errors
        except ValueError as error:
            raise InputError(
                f"Received a noise variance of shape {np.shape(self.noise_variance)} for "
                f"observations of shape {self.observations.shape}; expected a number, an array "
                "broadcastable to them, or covariances [window, time, observed, observed]."
            ) from error
        if self._full:
            check_covariance(np.asarray(self.noise_variance, float))
            return
        known = errors[self.observed]
        wrong = known[~((known >= 0) & np.isfinite(known))]
        if len(wrong):
            raise InputError(
                f"Received the noise variance {wrong[0]:g} of an observation; expected a positive, "
                "finite number."
            )

    def _check_covariates(self) -> None:
        given, wanted = self.covariates, getattr(self.flow, "covariates", 0)
        if self.flow is None and self.system is not None:
            wanted = len(self.system.covariates)
        shape = (*self.observations.shape[:2], wanted)
        if given is None and not wanted:
            return
        if given is None or given.shape != shape or not np.isfinite(given).all():
            raise InputError(
                f"Received covariates of shape {None if given is None else given.shape}; expected "
                f"finite ones of shape {shape}, those that the dynamics depend on."
            )

    @cached_property
    def _is_positive(self) -> bool:
        return self._full or bool((self._errors[self.observed] > 0).all())

    def _check_positive(self) -> None:
        if not self._is_positive:
            raise InputError(
                "Received a noise variance of 0, which this method cannot weigh by; expected a "
                "positive number."
            )

    def _check_components(self) -> None:
        observed, h = self.observations.shape[-1], self.observation_operator
        if h is not None and not callable(h):
            if self._matrix.ndim != 2 or len(self._matrix) != observed:
                raise InputError(
                    f"Received an observation operator of shape {self._matrix.shape} for "
                    f"observations of {observed} values at a time; expected a matrix of "
                    f"{observed} rows and a column for each component."
                )
            if not np.isfinite(self._matrix).all() or not self._matrix.any(axis=1).all():
                raise InputError(
                    "Received an observation operator with rows that are zero or not finite; "
                    "expected rows that observe something."
                )
        components = self.components
        for name, known in (("background", self.background), ("system", self.system)):
            if known is None:
                continue
            size = len(known.mean if isinstance(known, Gaussian) else known.components)
            if size != components:
                if h is None:
                    check_observations(self.observations, components=size)
                raise InputError(f"Received a {name} of {size} components; expected {components}.")
