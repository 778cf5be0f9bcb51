"""Windows of simulated fields, which instruments see anew in every pass."""

from itertools import islice
from typing import Any

import numpy as np
from scipy import ndimage

from tf4dvar.data import Signature
from tf4dvar.data.fields import FIELDS, SPIN_UP, labelled_windows
from tf4dvar.experiments import Experiment
from tf4dvar.systems import QuasiGeostrophic, random_stream
from tf4dvar.systems.instruments import PLANS, observed_by
from tf4dvar.training.windows import DrawnWindows

# Runs of the system and the days of each; the last ones are for validation. They take some minutes
# before a training, and again before one that is resumed.
MEMBERS, OF_VALIDATION, DAYS = 20, 2, 600
# Of a window its neighbours in a series know this share too: every map is near a middle.
SHARED = 3 / 4
# Points around a part of the box that splines between its own have to see.
MARGIN = 4


class SimulatedFields(DrawnWindows):
    """The windows of an experiment with a system of fields.

    The runs of the system are the same in every pass. What a pass takes of them is not: days, and
    by the symmetries of the system places in the box, y turned with the sign of the departure from
    the mean field. Some are of a part of the box, as of a grid that is finer by a factor. Tracks,
    clouds and errors are new in every window, and run forwards or backwards in time.

    Args:
        experiment: with a system of `FIELDS`, a plan of `PLANS` and the days of its windows.
        options: what its training was asked.
    """

    def __init__(self, experiment: Experiment, options: dict[str, Any]):
        self.number, self.seed = options["windows"], options["seed"]
        self._steps, self._instruments = experiment.steps, PLANS[experiment.protocol]
        self._refinements = experiment.refinements
        self._system = FIELDS[experiment.system]()
        maps = _maps(self._system, MEMBERS, DAYS, random_stream("training fields", self.seed))
        self._mean = self._system.observed(0 * self._system.initial(1, np.random.default_rng()))[0]
        departures = maps - self._mean
        self._departures, held_out = np.split(departures, [MEMBERS - OF_VALIDATION])
        rng = random_stream("validation fields", self.seed)
        begins = np.arange(0, DAYS - self._steps + 1, self._steps)
        members, begins = (each.ravel() for each in np.meshgrid(range(OF_VALIDATION), begins))
        days = begins[:, None] + np.arange(self._steps)
        self.validation = self._observed(held_out[members[:, None], days] + self._mean, rng)
        self.observations, self.truth = self.drawn(random_stream("first pass", self.seed))
        noise = max(each.noise for each in self._instruments)
        self._signature = Signature.of(
            labelled_windows(self._system, self.observations),
            noise**2,
            overlap=round(SHARED * self._steps),
        )

    def adapt(self, model):
        """See `TrainingWindows`."""
        model.adapt(self.observations)
        model.signature = self._signature

    def drawn(self, rng):
        """See `DrawnWindows`."""
        members, days = self._departures.shape[:2]
        windows = []
        for _ in range(self.number):
            begin = rng.integers(days - self._steps + 1)
            window = self._departures[rng.integers(members), begin : begin + self._steps]
            window = np.roll(window, rng.integers(self._system.points, size=2), (1, 2))
            windows.append(-window[:, ::-1] if rng.random() < 0.5 else window)
        truth = np.stack(windows) + self._mean
        refinements = np.resize(self._refinements, self.number)
        parts = [
            self._observed(_refined(truth[refinements == each], each), rng, each)
            for each in self._refinements
        ]
        order = rng.permutation(self.number)
        observations, truth = (np.concatenate(each)[order] for each in zip(*parts, strict=True))
        return observations, truth

    def _observed(self, truth, rng, refinement=1):
        """Observations and truth of windows; of each the sampling is turned in time or not."""
        turned = rng.random(len(truth)) < 0.5
        seen = _turned(truth, turned)
        side = self._system.length / refinement
        observations, _ = observed_by(self._instruments, seen, side, rng)
        return _turned(observations, turned)[..., None], truth[..., None]


def _maps(system: QuasiGeostrophic, members: int, days: int, rng: np.random.Generator):
    """Of every day, [member, day, y, x], single precision."""
    every_day = system.days(system.initial(members, rng))
    wanted = islice(every_day, SPIN_UP, SPIN_UP + days)
    return np.stack([system.observed(each).astype("float32") for each in wanted], axis=1)


def _refined(windows, factor):
    """The middle of windows on a grid so many times as fine, of as many points."""
    if factor == 1:
        return windows
    points = windows.shape[-1]
    part = points // factor + 2 * MARGIN
    first = (points - part) // 2
    middle = windows[..., first : first + part, first : first + part]
    # Each old point is the middle of as many new ones.
    finer = ndimage.zoom(middle, (1, 1, factor, factor), mode="grid-constant", grid_mode=True)
    kept = slice(MARGIN * factor, MARGIN * factor + points)
    return finer[..., kept, kept]


def _turned(windows, which):
    """Some windows backwards in time."""
    return np.where(which[:, None, None, None], windows[:, ::-1], windows)
