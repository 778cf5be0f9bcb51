"""The Kuramoto-Sivashinsky equation."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import numpy as np
import scipy

from tf4dvar.systems.observation_plan import ObservationPlan
from tf4dvar.systems.system import System
from tf4dvar.systems.tendency import library_of

POINTS = 128
# Of the circle in the complex plane over which coefficients are averaged.
ON_THE_CIRCLE = 32


class Coefficients(NamedTuple):
    """Factors of a step, of each wave.

    Attributes:
        slope: of the square of the state, minus half of the derivative in space.
        whole, half: exp(h L), exp(h L / 2), with L minus the second and the fourth derivative.
        stage: of the slopes in the stages.
        first, middle, last: of the slopes in the sum.
    """

    slope: np.ndarray
    whole: np.ndarray
    half: np.ndarray
    stage: np.ndarray
    first: np.ndarray
    middle: np.ndarray
    last: np.ndarray


@dataclass(frozen=True)
class KuramotoSivashinsky(System):
    """Flame fronts on a circle; dimensionless.

        du/dt = -u du/dx - d2u/dx2 - d4u/dx4

    Of 128 points, with derivatives that are exact of their waves. The fourth derivative is stiff:
    a step is by exponential time differencing (ETDRK4; Cox and Matthews 2002, with the
    coefficients of Kassam and Trefethen 2005, doi:10.1137/S1064827502410633).

    Args:
        length: of the circle; 32 pi is chaotic.

    Usage:

        from tf4dvar.systems import KuramotoSivashinsky, sample_windows

        windows = sample_windows(KuramotoSivashinsky(), 1, 10, seed=0)
        assert windows.shape == (1, 10, 128)
    """

    length: float = 32 * np.pi

    name = "ks"
    components = tuple(f"u{i}" for i in range(1, POINTS + 1))
    time_step = 0.5
    spin_up = 400
    test_windows = 256
    protocols: ClassVar = {
        "every": ObservationPlan(tuple(range(POINTS)), every=2, noise_variance=1.0)
    }

    def rates(self, state: Any) -> Any:
        """du/dt of a state [..., component], NumPy's or TensorFlow's."""
        to_waves, from_waves = _transforms(state)
        slope, linear = (_as(each, state) for each in (_slope(self.length), _linear(self.length)))
        return from_waves(slope * to_waves(state**2) + linear * to_waves(state))

    def step(self, state: Any, time_step: float | None = None, covariates: Any = None) -> Any:
        """The state one step later by ETDRK4; see `System.step`."""
        h = self.time_step if time_step is None else time_step
        of = Coefficients(*(_as(each, state) for each in _coefficients(self.length, h)))
        to_waves, from_waves = _transforms(state)

        def slope(waves):
            return of.slope * to_waves(from_waves(waves) ** 2)

        waves = to_waves(state)
        k1 = of.slope * to_waves(state**2)
        a = of.half * waves + of.stage * k1
        k2 = slope(a)
        k3 = slope(of.half * waves + of.stage * k2)
        k4 = slope(of.half * a + of.stage * (2 * k3 - k1))
        return from_waves(of.whole * waves + of.first * k1 + of.middle * (k2 + k3) + of.last * k4)

    def initial_states(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Small random states [count, 128] around the unstable rest."""
        return 0.1 * rng.normal(size=(count, POINTS))


def _transforms(state):
    """Of states to their waves, and back."""
    if library_of(state) is np:
        return scipy.fft.rfft, scipy.fft.irfft
    signal = library_of(state).signal
    return signal.rfft, signal.irfft


def _as(factors, state):
    """Complex, in the precision of the state."""
    single = np.dtype(getattr(state.dtype, "as_numpy_dtype", state.dtype)) == np.float32
    return factors.astype(np.complex64 if single else np.complex128)


def _waves(length):
    return 2 * np.pi / length * scipy.fft.rfftfreq(POINTS, 1 / POINTS)


def _slope(length):
    # The shortest wave has no slope at the points.
    return -0.5j * np.append(_waves(length)[:-1], 0.0)


def _linear(length):
    return _waves(length) ** 2 - _waves(length) ** 4


@lru_cache
def _coefficients(length, time_step):
    steps = time_step * _linear(length)
    # Differences of nearly equal numbers where a step is small: the mean over a circle has none.
    angles = np.pi * (np.arange(ON_THE_CIRCLE) + 0.5) / ON_THE_CIRCLE
    z = steps[:, np.newaxis] + np.exp(1j * angles)
    stage = np.expm1(z / 2) / z
    first = (-4 - z + np.exp(z) * (4 - 3 * z + z**2)) / z**3
    middle = 2 * (2 + z + np.exp(z) * (z - 2)) / z**3
    last = (-4 - 3 * z - z**2 + np.exp(z) * (4 - z)) / z**3
    means = [time_step * each.mean(axis=1).real for each in (stage, first, middle, last)]
    return Coefficients(_slope(length), np.exp(steps), np.exp(steps / 2), *means)
