"""A first guess of fields learned from the observations."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tf4dvar.errors import InputError
from tf4dvar.layers.checks import build_once
from tf4dvar.layers.contracts import FirstGuess, trait
from tf4dvar.layers.first_guesses.features import count_of, features
from tf4dvar.layers.kernels.convolution import Convolution, boundary_of_each, check_boundary
from tf4dvar.layers.kernels.resolution import coarsened, refined
from tf4dvar.layers.kernels.segments import check_segment, from_channels, to_channels
from tf4dvar.layers.kernels.tiles import from_tiles, to_tiles

# No grid has more that differ; and a file must not be able to ask for any number of layers.
DEEPEST = 16
LARGEST_TILE = 16
OF_A_START = (None, False, False, 1)


@keras.saving.register_keras_serializable(package="tf4dvar")
class UNetFirstGuess(FirstGuess):
    """First guess by a U-Net (Ronneberger et al. 2015, arXiv:1505.04597) over space.

    What was observed in a segment of times, and what was not, are the channels of a map. It goes
    through convolutions down to coarser grids, and back up, beside what was found on the way.
    Trained on the squared error it tends to the mean of the states given the observations. It takes
    any pattern of observations, and is as good as its training on such ones.

    Args:
        width: channels on the grid itself, twice as many on each coarser one.
        depth: number of coarser grids, each of half the resolution.
        segment: number of times that see each other, best the length of the windows; zeros fill
            the last segment of longer ones.
        boundary: what lies beyond the edges of space; see `Convolution`.
        components: of the state, where an observation operator makes them another number than
            what is observed.
        tile: points along every axis of space that are one place of the net's finest grid, as its
            channels. With 2 a step takes a third of the time, and nothing is averaged away.
        start: another first guess, which the net corrects: it sees that, and the observations'
            departures from it. It begins as no correction; both are trained together.
        weighted, background, outputs: as of `AttentionFirstGuess`, of a net without a start.

    Call arguments:
        observations: [batch, time, *space, observed], normalised, 0 where not observed.
        mask: same shape, 1 where observed, else 0; or weights.
        background: [batch, time, *space, component], normalised, if it takes one.

    Returns:
        The first guess x0, [batch, time, *space, component]; of several outputs, [batch, time,
        *space, component * outputs].
    """

    def __init__(
        self,
        width: int = 32,
        depth: int = 2,
        segment: int = 15,
        boundary: str | Sequence[str] = "zero",
        components: int | None = None,
        tile: int = 1,
        start: keras.layers.Layer | None = None,
        weighted: bool = False,
        background: bool = False,
        outputs: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        check_boundary(boundary)
        check_segment(segment)
        if not (width >= 1 and 0 <= depth <= DEEPEST):
            raise InputError(
                f"Received width={width} and depth={depth}; expected a width of 1 or more, and 0 "
                f"to {DEEPEST} coarser grids."
            )
        if not 1 <= tile <= LARGEST_TILE:
            raise InputError(f"Received tile={tile}; expected 1 to {LARGEST_TILE} points.")
        if start is not None and (components, weighted, background, outputs) != OF_A_START:
            raise InputError(
                f"Received a start with components={components}, weighted={weighted}, "
                f"background={background} and outputs={outputs}; expected none of these: a start "
                "is corrected where the state itself is observed, and knows the noise itself."
            )
        self.width = width
        self.depth = depth
        self.segment = segment
        self.boundary = boundary if isinstance(boundary, str) else tuple(boundary)
        self.components = components
        self.tile = tile
        self.start = start
        self.weighted = weighted
        self.background = background
        self.outputs = outputs
        self.tolerance = 0.0 if start is None else trait(start, FirstGuess, "tolerance")

    def build(self, observations_shape, *_):
        """Create the convolutions of every grid, on the way down and on the way up."""
        start = self.start
        if start is not None:
            build_once(start, observations_shape, call=lambda values: start(values, values))
        _, _, *space, observed = observations_shape
        self._boundaries = boundary_of_each(self.boundary, space)
        components = self.components or observed
        told = count_of(self.weighted) * observed
        told += (self.background + (start is not None)) * components
        points = self.tile ** len(space)
        space = [size if size is None else -(-size // self.tile) for size in space]
        channels, self.down, self.up = told * self.segment * points, [], []
        grids = []
        for level in range(self.depth + 1):
            width = self.width * 2**level
            self.down.extend(self._pair(space, channels, width))
            grids.append((space, width))
            space, channels = [size if size is None else -(-size // 2) for size in space], width
        for space, width in reversed(grids[:-1]):
            self.up.extend(self._pair(space, 3 * width, width))
        filters = points * self.segment * components * self.outputs
        # A correction begins as none: a random one may be so wrong that the net dies of it.
        initial = "glorot_uniform" if start is None else "zeros"
        self.leave = self._convolution(grids[0][0], self.width, filters, initial)

    def _pair(self, space, channels, width):
        return [self._convolution(space, each, width) for each in (channels, width)]

    def _convolution(self, space, channels, filters, initial="glorot_uniform"):
        layer = Convolution(
            filters,
            (1, *[3] * len(space)),
            self.boundary,
            use_bias=True,
            kernel_initializer=initial,
            dtype=self.dtype_policy,
        )
        build_once(layer, (None, None, *space, channels))
        return layer

    def call(self, observations, mask, background=None):
        """Down to the coarsest grid, and back."""
        if self.start is None:
            return self._seen_through(features(observations, mask, self.weighted, background))
        start = tf.cast(self.start(observations, mask), observations.dtype)
        return start + self._seen_through((mask * (observations - start), mask, start))

    def _seen_through(self, maps):
        given = [to_channels(values, self.segment) for values in maps]
        enter, *further = _pairs(self.down)
        tiles = to_tiles(tf.concat(given, axis=-1), self.tile)
        values, found = _through(enter, tiles), []
        for pair in further:
            found.append(values)
            values = _through(pair, coarsened(values))
        for pair, fine in zip(_pairs(self.up), reversed(found), strict=True):
            values = refined(values, self._boundaries, like=fine)
            values = _through(pair, tf.concat([values, fine], axis=-1))
        values = from_tiles(self.leave(values), self.tile, like=given[0])
        return from_channels(values, self.segment, tf.shape(maps[0])[1])


def _pairs(convolutions):
    # Keras saves lists of layers, no lists of lists.
    return zip(convolutions[::2], convolutions[1::2], strict=True)


def _through(convolutions, values):
    for convolution in convolutions:
        values = tf.nn.relu(convolution(values))
    return values
