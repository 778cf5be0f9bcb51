"""A replica: the process that holds the model and answers calls in batches."""

import logging
import math
import os
import pickle
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tf4dvar.errors import first_line
from tf4dvar.runtime import load_tensorflow
from tf4dvar.serving.logs import log_as_json
from tf4dvar.serving.protocol import Call, Refusal

logger = logging.getLogger(__name__)

# Seconds between looks at the directory.
REFRESH = 1.0
# Bytes that tell the length of the answer after them.
PREFIX = 8


class Question(NamedTuple):
    """What the HTTP server asks a replica.

    Attributes:
        version: number of a version, None for the newest.
        about: a `Call`, or "status" or "metadata".
        deadline: of `time.monotonic()`, after which nobody waits for the answer.
    """

    version: int | None
    about: Any
    deadline: float


class Prediction(NamedTuple):
    """The answer to a `Call`.

    Attributes:
        outputs: arrays by name.
        version: that gave them.
        batch: windows that were computed together.
        suspect: numbers of the windows whose states do not fit their observations.
    """

    outputs: dict[str, np.ndarray]
    version: int
    batch: int
    suspect: list[int]


@dataclass
class Replica:
    """Loads the versions in a directory, follows what is exported, answers questions.

    Args:
        directory: of the versions.
        batch: windows in one call of the graph, at most.
        values: the limit of `Limits`.
        force: take a directory without this package's card.
    """

    directory: Path
    batch: int
    values: int
    force: bool

    def load(self) -> None:
        """Load the versions there are, and from then on those that come.

        Raises:
            Refusal: there is none that can be served.
        """
        load_tensorflow()
        from tf4dvar.serving.versions import Versions

        self.versions = Versions(self.directory, self.force)
        self.versions.refresh()
        self.versions.get(None)
        threading.Thread(target=self._follow, daemon=True).start()

    def predict(self, questions: Sequence[Question]) -> list[Any]:
        """Answer questions, each with a `Prediction`, what was asked for, or a `Refusal`.

        Calls of one version, signature, window length and K are computed together: a window's
        state does not depend on the others in its batch.
        """
        answers: list[Any] = [None] * len(questions)
        groups = defaultdict(list)
        for i, question in enumerate(questions):
            try:
                if isinstance(question.about, Call):
                    groups[self._group(question)].append(i)
                else:
                    answers[i] = self._describe(question)
            except Refusal as refusal:
                answers[i] = refusal
        for (number, version, *_), members in groups.items():
            calls = [questions[i].about for i in members]
            try:
                predictions = self._compute(number, version, calls)
            except Refusal as refusal:
                predictions = [refusal] * len(calls)
            except Exception as error:
                logger.exception("The model failed")
                failure = Refusal(500, f"The model failed: {first_line(error)}")
                predictions = [failure] * len(calls)
            for i, prediction in zip(members, predictions, strict=True):
                answers[i] = prediction
        return answers

    def _group(self, question: Question) -> tuple:
        if time.monotonic() > question.deadline:
            raise Refusal(504, "The request waited too long for its turn.")
        number, version = self.versions.get(question.version)
        shape = question.about.observations.shape
        if shape[2:] != version.places:
            *space, components = version.places
            sizes = "".join(f"{size}, " for size in space)
            raise Refusal(
                400,
                f"Received observations of shape {list(shape)}; expected [batch, time, {sizes}"
                f"{components}]: {components} components on the last axis, an unobserved one "
                "filled with null.",
            )
        call = question.about
        iterations = version.iterations if call.iterations is None else call.iterations
        values = math.prod(shape) * (iterations + 1)
        if values > self.values:
            raise Refusal(
                413, f"The request needs {values} values; the limit is {self.values}. Split it."
            )
        given = tuple((name, of.shape[1:]) for name, of in sorted(call.given.items()))
        return number, version, call.signature, call.iterations, shape[1:], given

    def _describe(self, question: Question) -> Any:
        if question.about == "status":
            return self.versions.status(question.version)
        number, version = self.versions.get(question.version)
        return number, version.metadata()

    def _compute(self, number: int, version: Any, calls: list[Call]) -> list[Prediction | Refusal]:
        windows = np.concatenate([call.observations for call in calls])
        given = {
            name: np.concatenate([call.given[name] for call in calls]) for name in calls[0].given
        }
        size = self.batch

        def part(start):
            some = slice(start, start + size)
            known = {name: of[some] for name, of in given.items()}
            return version(replace(calls[0], observations=windows[some], given=known))

        parts = [part(start) for start in range(0, len(windows), size)]
        ends = np.cumsum([len(call.observations) for call in calls])[:-1]
        outputs = {
            name: np.split(np.concatenate([part[name] for part in parts]), ends)
            for name in parts[0]
        }
        batch = min(size, len(windows))

        def answer(call, outputs):
            if refusal := _not_finite(outputs):
                return refusal
            suspect = np.flatnonzero(version.suspect(call, outputs["state"]))
            return Prediction(outputs, number, batch, suspect.tolist())

        return [
            answer(call, {name: of[i] for name, of in outputs.items()})
            for i, call in enumerate(calls)
        ]

    def _follow(self) -> None:
        said = None
        while True:
            time.sleep(REFRESH)
            try:
                self.versions.refresh()
                problem = None
            except Exception as error:  # whatever it is, it may pass
                problem = first_line(error)
            if problem not in (None, said):
                logger.error("%s cannot be looked at: %s", self.directory, problem)
            said = problem


def run() -> None:
    """Answer the server's questions until it closes the standard input, or is gone.

    The first thing it says are the arguments of `Replica`; the answer is that it has loaded.
    """
    questions = sys.stdin.buffer
    # What libraries print must not get between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    log_as_json()

    def say(answer: Any) -> None:
        message = pickle.dumps(answer, pickle.HIGHEST_PROTOCOL)
        answers.write(len(message).to_bytes(PREFIX, "little") + message)
        answers.flush()

    try:
        replica = Replica(*pickle.load(questions))
        replica.load()
        say(None)
        while True:
            say(replica.predict(pickle.load(questions)))
    except (EOFError, BrokenPipeError):
        os._exit(0)  # TensorFlow would tidy up for seconds
    except Refusal:
        sys.exit(1)  # the log says why no version can be served
    except Exception:
        logger.exception("The replica failed")
        sys.exit(1)


def _not_finite(outputs: dict[str, np.ndarray]) -> Refusal | None:
    """What is said of an answer that is not finite."""
    finite = np.all(
        [np.isfinite(of).reshape(len(of), -1).all(axis=1) for of in outputs.values()], axis=0
    )
    if finite.all():
        return None
    return Refusal(
        422,
        f"The model's answer is not finite in window {np.flatnonzero(~finite)[0]}: its solver "
        "diverges there. Look at the units of the observations.",
    )
