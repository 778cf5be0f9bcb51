"""Quasi-geostrophic turbulence of one or two layers in a periodic box, and what it stirs."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np
import scipy

from tf4dvar.errors import InputError

DAY = 86_400.0
GRAVITY = 9.81
# The exponential filter of small scales: where it begins, in wavenumbers times the distance of two
# points, and how steep it is (Arbic and Flierl 2004, as in pyqg's two-layer model).
FILTER_FROM, FILTER_STEEPNESS = 0.65 * np.pi, 23.6
# Of the eddies from which turbulence grows, m/s: after 600 days heights vary by 0.10 to 0.12 m.
INITIAL_SPEED = 0.003
# Adams-Bashforth's weights of the newest slope and of those before, third order.
NEWEST, BEFORE, BEFORE_THAT = 23 / 12, -16 / 12, 5 / 12


@dataclass(frozen=True)
class QuasiGeostrophic:
    """Two layers of a rotating fluid under a sheared mean flow, which is baroclinically unstable.

        dq_i/dt + J(psi_i, q_i) + U_i dq_i/dx + Q_i dpsi_i/dx = -(drag laplacian psi_2 if i is 2)
        q_i = laplacian psi_i + F_i (psi_j - psi_i)

    with F_1 = 1 / (R^2 (1 + H_1/H_2)), F_2 = F_1 H_1/H_2, R the deformation radius, and the mean
    gradients of vorticity Q_1 = beta + F_1 (U_1 - U_2), Q_2 = beta - F_2 (U_1 - U_2) (Vallis 2017,
    section 5.3). Of one layer the lower one is at rest: psi_2 = 0.

    Pseudo-spectral; Adams-Bashforth of third order, begun by two Runge-Kutta steps; an exponential
    filter in place of a viscosity. Members are computed side by side. A state is the Fourier
    transform of the vorticities, [member, layer, ky, kx].

    Attributes:
        layers: 1 or 2.
        points: of the grid, along each side.
        length: of a side, m.
        deformation_radius: m.
        thickness_ratio: H_1/H_2.
        flows: mean flows U_1 and U_2, m/s.
        beta: gradient of the planetary vorticity, 1/(m s).
        drag: of the lower layer, 1/s.
        coriolis: 1/s.
        time_step: s.
        filtered: whether small scales are filtered.

    Usage:

        system = QuasiGeostrophic(points=32)
        days = system.days(system.initial(2, np.random.default_rng(0)))
        state = next(days)
        assert system.observed(state).shape == (2, 32, 32)
    """

    layers: int = 2
    points: int = 64
    length: float = 1e6
    deformation_radius: float = 30e3
    thickness_ratio: float = 0.25
    flows: tuple[float, float] = (0.1, 0.0)
    beta: float = 1.6e-11
    drag: float = 1.16e-6
    coriolis: float = 1e-4
    time_step: float = 3600.0
    filtered: bool = True

    def __post_init__(self) -> None:
        steps = DAY / self.time_step if self.time_step > 0 else 0.0
        if self.layers not in (1, 2) or self.points < 8 or self.points % 2:
            raise InputError(
                f"Received {self.layers} layers of {self.points} points; expected 1 or 2 layers, "
                "and an even number of points from 8 on."
            )
        if not steps >= 1 or steps != round(steps):
            raise InputError(
                f"Received the time step {self.time_step} s; expected a whole part of a day."
            )

    @cached_property
    def wavenumbers(self) -> tuple[np.ndarray, np.ndarray]:
        """In x and in y, [ky, kx], 1/m."""
        distance = self.length / self.points
        along, across = (
            scipy.fft.rfftfreq(self.points, distance),
            scipy.fft.fftfreq(self.points, distance),
        )
        kx, ky = np.meshgrid(2 * np.pi * along, 2 * np.pi * across)
        return kx, ky

    @cached_property
    def stretching(self) -> np.ndarray:
        """F_i of each layer, 1/m^2."""
        upper = self.deformation_radius**-2 / (1 + self.thickness_ratio)
        return np.array([upper, upper * self.thickness_ratio])[: self.layers]

    @cached_property
    def thicknesses(self) -> np.ndarray:
        """Of each layer, as shares of both together; of one layer 1."""
        if self.layers == 1:
            return np.ones(1)
        return np.array([self.thickness_ratio, 1.0]) / (1 + self.thickness_ratio)

    @cached_property
    def vorticity_gradients(self) -> np.ndarray:
        """Q_i of each layer, 1/(m s)."""
        upper, lower = self.flows
        signs = np.array([1.0, -1.0])[: self.layers]
        return self.beta + signs * self.stretching * (upper - lower)

    @cached_property
    def to_vorticity(self) -> np.ndarray:
        """The matrices that make vorticities of stream functions, [layer, layer, ky, kx]."""
        kx, ky = self.wavenumbers
        own = np.eye(self.layers)
        other = own[::-1] if self.layers == 2 else np.zeros((1, 1))
        exchange = self.stretching[:, None] * (own - other)
        return -((kx**2 + ky**2) * own[..., None, None]) - exchange[..., None, None]

    @cached_property
    def to_stream_function(self) -> np.ndarray:
        """Their inverses; zero of the mean, on which nothing depends."""
        matrices = np.moveaxis(self.to_vorticity, (0, 1), (-2, -1)).copy()
        matrices[0, 0] = np.eye(self.layers)
        inverses = np.linalg.inv(matrices)
        inverses[0, 0] = 0.0
        return np.ascontiguousarray(np.moveaxis(inverses, (-2, -1), (0, 1)))

    @cached_property
    def filter(self) -> np.ndarray:
        """What is kept of each wavenumber in a step, [ky, kx]."""
        kx, ky = self.wavenumbers
        beyond = np.hypot(kx, ky) * self.length / self.points - FILTER_FROM
        kept = np.exp(-FILTER_STEEPNESS * np.maximum(beyond, 0.0) ** 4)
        return kept if self.filtered else np.ones_like(kept)

    def stream_function(self, state: np.ndarray) -> np.ndarray:
        """Of each layer, transformed as the state is, m^2/s.

        Args:
            state: as of the class.
        """
        layers = state[:, : self.layers]
        return sum(self.to_stream_function[:, i] * layers[:, i, None] for i in range(self.layers))

    def rates(self, state: np.ndarray) -> np.ndarray:
        """The slope of a state, per second.

        Args:
            state: as of the class.
        """
        kx, ky = self.wavenumbers
        streams = self.stream_function(state)
        slope = -self.advection(streams, state[:, : self.layers])
        slope -= 1j * kx * self.vorticity_gradients[:, None, None] * streams
        if self.layers == 2:
            slope[:, 1] += self.drag * (kx**2 + ky**2) * streams[:, 1]
        return slope

    def advection(self, streams: np.ndarray, advected: np.ndarray) -> np.ndarray:
        """Of something by the flow and its mean, per second.

        Args:
            streams: stream functions of layers, transformed, [member, layer, ky, kx].
            advected: what each layer carries, the same.
        """
        kx, ky = self.wavenumbers
        mean = np.array(self.flows[: streams.shape[1]])[:, None, None]
        values = scipy.fft.irfft2(advected)
        along = scipy.fft.rfft2((scipy.fft.irfft2(-1j * ky * streams) + mean) * values)
        return 1j * kx * along + 1j * ky * scipy.fft.rfft2(
            scipy.fft.irfft2(1j * kx * streams) * values
        )

    def states(self, state: np.ndarray) -> Iterator[np.ndarray]:
        """A state and those that follow it, step by step, for ever.

        Args:
            state: as of the class.
        """
        slopes: list[np.ndarray] = []
        while True:
            yield state
            slopes = [self.rates(state), *slopes[:2]]
            if len(slopes) < 3:
                slope = self._runge_kutta(state, slopes[0])
            else:
                slope = NEWEST * slopes[0] + BEFORE * slopes[1] + BEFORE_THAT * slopes[2]
            state = self.filter * (state + self.time_step * slope)

    def days(self, state: np.ndarray) -> Iterator[np.ndarray]:
        """A state and those that follow it, day by day, for ever.

        Args:
            state: as of the class.
        """
        return islice(self.states(state), None, None, round(DAY / self.time_step))

    def initial(self, members: int, rng: np.random.Generator) -> np.ndarray:
        """Weak eddies of random phase, from which turbulence grows in some hundred days.

        Args:
            members: number of states.
            rng: draws them.
        """
        kx, ky = self.wavenumbers
        noise = rng.normal(size=(members, self.layers, self.points, self.points))
        state = scipy.fft.rfft2(noise) * np.exp(-(kx**2 + ky**2) * self.deformation_radius**2)
        state[..., 0, 0] = 0.0
        return state * (INITIAL_SPEED / np.sqrt(2 * self.energy(state)))[:, None, None, None]

    def observed(self, state: np.ndarray) -> np.ndarray:
        """The height of the surface, m, [member, y, x].

        Args:
            state: as of the class.
        """
        return self.heights(state)[:, 0]

    def heights(self, state: np.ndarray) -> np.ndarray:
        """Stream functions as heights of a surface, m, [member, layer, y, x]; of no mean.

        Args:
            state: as of the class.
        """
        return self.coriolis / GRAVITY * scipy.fft.irfft2(self.stream_function(state))

    def state_of(self, heights: np.ndarray) -> np.ndarray:
        """The state of some heights; their means do not count.

        Args:
            heights: m, [member, layer, y, x].
        """
        streams = GRAVITY / self.coriolis * scipy.fft.rfft2(heights)
        streams[..., 0, 0] = 0.0
        return sum(self.to_vorticity[:, i] * streams[:, i, None] for i in range(self.layers))

    def energy(self, state: np.ndarray) -> np.ndarray:
        """Kinetic and available potential energy, m^2/s^2, [member].

        Args:
            state: as of the class.
        """
        return -self._mean_product(self.stream_function(state), state[:, : self.layers])

    def enstrophy(self, state: np.ndarray) -> np.ndarray:
        """Half the squared vorticity, 1/s^2, [member].

        Args:
            state: as of the class.
        """
        return self._mean_product(state[:, : self.layers], state[:, : self.layers])

    def _mean_product(self, one, other):
        """Half the mean of a product over the volume."""
        return (
            (scipy.fft.irfft2(one) * scipy.fft.irfft2(other)).mean((-2, -1)) @ self.thicknesses / 2
        )

    def _runge_kutta(self, state, slope):
        """The mean slope over a step, of fourth order."""
        half = self.time_step / 2
        second = self.rates(state + half * slope)
        third = self.rates(state + half * second)
        last = self.rates(state + 2 * half * third)
        return (slope + 2 * second + 2 * third + last) / 6


@dataclass(frozen=True)
class StirredTemperature(QuasiGeostrophic):
    """A temperature that the upper layer stirs: fronts and filaments, as of the sea's surface.

        dc/dt + J(psi_1, c) + U_1 dc/dx + gradient dpsi_1/dx = 0

    of its departure c from a mean that decreases to the north; the filter ends its finest scales.
    It is the last field of a state, [member, layer + 1, ky, kx].

    Attributes:
        layers, points, length, deformation_radius, thickness_ratio, flows: as of its base.
        beta, drag, coriolis, time_step, filtered: as of its base.
        gradient: of the mean to the north, K/m.
        mean: in the middle of the box, degrees Celsius.
    """

    gradient: float = -1e-5
    mean: float = 15.0

    def rates(self, state):
        """See `QuasiGeostrophic`."""
        kx, _ = self.wavenumbers
        upper = self.stream_function(state)[:, :1]
        slope = -self.advection(upper, state[:, -1:]) - 1j * kx * self.gradient * upper
        return np.concatenate([super().rates(state), slope], axis=1)

    def initial(self, members, rng):
        """See `QuasiGeostrophic`; the temperature is its mean."""
        state = super().initial(members, rng)
        return np.concatenate([state, np.zeros_like(state[:, :1])], axis=1)

    def observed(self, state):
        """The temperature, degrees Celsius, [member, y, x]."""
        y = self.length * ((np.arange(self.points) + 0.5) / self.points - 0.5)
        return self.mean + self.gradient * y[:, None] + scipy.fft.irfft2(state[:, -1])
