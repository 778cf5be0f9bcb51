"""Clouds over a box, which move and persist: what an infrared radiometer sees between them."""

from dataclasses import dataclass

import numpy as np
import scipy

from tf4dvar.errors import InputError


@dataclass(frozen=True)
class Clouds:
    """A radiometer below which clouds pass.

    They are where a random field is high: Gaussian, of a steep spectrum, carried by the wind, and
    from day to day partly the same. By default as over the Alboran Sea in a week of May: whether
    there are clouds is correlated by 0.8 from a point to the next at 16 km, 0.5 after 60 km, and
    0.3 from a day to the next.

    Attributes:
        share: of the box that is covered, in the mean over days.
        size: beyond which the field has no larger structures, m.
        persistence: correlation of a day's field with that of the day before, moved by the wind.
        wind: to the east and to the north, m/s.
        noise: standard deviation of an observation's error.
    """

    share: float = 0.45
    size: float = 2000e3
    persistence: float = 0.6
    wind: tuple[float, float] = (0.5, 0.2)
    noise: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.share < 1 and 0 <= self.persistence < 1 and self.size > 0):
            raise InputError(
                f"Received {self}; expected a share between 0 and 1, a persistence from 0 to less "
                "than 1, and a size above 0."
            )

    def seen(self, days: int, points: int, length: float, rng: np.random.Generator) -> np.ndarray:
        """Which points have no cloud above them, [day, y, x].

        Args:
            days: number of days.
            points, length: of the grid along each side, and of the side in m.
            rng: draws the clouds.
        """
        distance = length / points
        kx = 2 * np.pi * scipy.fft.rfftfreq(points, distance)
        ky = 2 * np.pi * scipy.fft.fftfreq(points, distance)[:, None]
        # Of a power that falls with the third power of the wavenumber: edges with many corners.
        amplitude = (np.square(kx) + np.square(ky) + (2 * np.pi / self.size) ** 2) ** -0.75
        amplitude[0, 0] = 0.0
        east, north = np.multiply(self.wind, 86_400.0)
        moved = np.exp(-1j * (kx * east + ky * north))

        def drawn():
            return amplitude * scipy.fft.rfft2(rng.normal(size=(points, points)))

        field, fields = drawn(), np.empty((days, points, points))
        for day in range(days):
            fields[day] = scipy.fft.irfft2(field)
            fresh = np.sqrt(1 - self.persistence**2)
            field = self.persistence * moved * field + fresh * drawn()
        return fields < np.quantile(fields, 1 - self.share)


@dataclass(frozen=True)
class CloudsOf:
    """A radiometer below clouds that were seen: parts of masks, turned and mirrored at random.

    Attributes:
        masks: True where there is a cloud, [day, y, x], at least as large as the box.
        noise: standard deviation of an observation's error.
    """

    masks: np.ndarray
    noise: float = 0.2

    def seen(self, days: int, points: int, length: float, rng: np.random.Generator) -> np.ndarray:
        """See `Clouds.seen`; the points of a mask are taken for those of the grid.

        Args:
            days, points, length, rng: as there.
        """
        masks = np.asarray(self.masks, bool)
        if masks.ndim != 3 or min(masks.shape[1:]) < points or not len(masks):
            raise InputError(
                f"Received masks of shape {masks.shape}; expected [day, y, x], as large as the "
                f"{points} x {points} points of the grid at least."
            )
        seen = np.empty((days, points, points), bool)
        for day in range(days):
            mask = masks[rng.integers(len(masks))]
            y, x = (rng.integers(size - points + 1) for size in mask.shape)
            mask = np.rot90(mask[y : y + points, x : x + points], int(rng.integers(4)))
            seen[day] = ~(mask[::-1] if rng.uniform() < 0.5 else mask)
        return seen
