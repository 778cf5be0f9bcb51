"""A filter over series of any length, piece by piece, each kept until all are done."""

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, TypedDict, cast

import numpy as np

from tf4dvar.classical import Problem
from tf4dvar.classical.cycled import Filter, Position
from tf4dvar.errors import InputError
from tf4dvar.storage import atomic_path
from tf4dvar.storage.records import read_record, write_record

RECORD = "record.json"


class Cycled(NamedTuple):
    """Estimates of several series over some times.

    Attributes:
        mean, spread: [series, time, component], physical units.
        misfit: [series, time], see `Estimate`.
        position: after the last of them.
    """

    mean: np.ndarray
    spread: np.ndarray
    misfit: np.ndarray
    position: Position


class _Record(TypedDict):
    asked: dict[str, Any]


class Pieces:
    """A folder of the pieces that are done, each whole or not there.

    Args:
        folder: for them; made with the first, or found where a run was stopped.
        kind: of what the filter knows, `Filter.kind`.
        asked: all that the estimates depend on, in JSON's types.
        resume: whether to go on with what is there.

    Raises:
        InputError: there is something and it is not to go on, or it is of another run.
    """

    def __init__(self, folder: Path, kind: type, asked: dict[str, Any], resume: bool):
        self.folder, self._kind, self._asked = folder, cast("Any", kind), asked
        record = folder / RECORD
        if resume:
            if not record.exists():
                raise InputError(f"There is no {record}: nothing to resume. Begin without.")
            found = read_record(record, _Record)["asked"]
            others = sorted(key for key in {*found, *asked} if found.get(key) != asked.get(key))
            if others:
                raise InputError(
                    f"{folder} is of a run with another {', '.join(others)}; expected the same. "
                    "Ask for the same, or remove the folder and begin anew."
                )
        elif folder.exists():
            raise InputError(
                f"{folder} has pieces of a run that was stopped; resume=True goes on with it. "
                "Else remove the folder."
            )

    def read(self, number: int) -> Cycled | None:
        """A piece; None where it is not done.

        Args:
            number: of the piece.
        """
        path = self._path(number)
        if not path.exists():
            return None
        with np.load(path) as found:
            known = self._kind(*(found[f"known_{name}"] for name in self._kind._fields))
            position = Position(known, found["recent"], found["lost"])
            return Cycled(found["mean"], found["spread"], found["misfit"], position)

    def write(self, number: int, piece: Cycled) -> None:
        """Keep a piece.

        Args:
            number: of it.
            piece: estimates, and where they end.
        """
        if not self.folder.exists():
            self.folder.mkdir()
            write_record(self.folder / RECORD, {"asked": self._asked})
        *estimates, position = piece
        named: dict[str, Any] = dict(zip(Cycled._fields, estimates, strict=False))
        named |= {f"known_{name}": of for name, of in position.known._asdict().items()}
        with atomic_path(self._path(number)) as temporary, open(temporary, "wb") as file:
            np.savez(file, **named, recent=position.recent, lost=position.lost)

    def remove(self) -> None:
        """Remove the folder, when all is written elsewhere."""
        shutil.rmtree(self.folder)

    def _path(self, number):
        return self.folder / f"{number:06d}.npz"


def cycle(
    method: Filter,
    problem: Callable[[int, int], Problem],
    steps: int,
    length: int,
    kept: Pieces | None = None,
    restart: bool = False,
) -> Iterator[Cycled]:
    """Go through series piece by piece, so that memory holds one.

    Args:
        method: the filter.
        problem: of the times from one on and before another.
        steps: of all.
        length: steps of a piece, see `Filter.span`.
        kept: where pieces are kept, and found if they are done.
        restart: see `Filter.run`.

    Yields:
        The pieces, each time once.
    """
    position = None
    for piece in count():
        span = method.span(piece, length, steps)
        if span is None:
            return
        done = None if kept is None else kept.read(piece)
        if done is None:
            ends = span[1] == steps
            run = method.run(problem(*span), position, span[0], restart, ends=ends)
            positions, estimates = zip(*run, strict=True)
            mean, spread, misfit = (np.stack(each, axis=1) for each in zip(*estimates, strict=True))
            done = Cycled(mean, spread, misfit, positions[-1])
            if kept is not None:
                kept.write(piece, done)
        position = done.position
        yield done
