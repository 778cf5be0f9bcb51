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
from dataclasses import dataclass
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
    """

    outputs: dict[str, np.ndarray]
    version: int
    batch: int


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

        Calls of one version, window length and K are computed together: a window's state does
        not depend on the others in its batch.
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
        for (number, version, iterations, _), members in groups.items():
            calls = [questions[i].about.observations for i in members]
            try:
                predictions = self._compute(number, version, iterations, calls)
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
        asked = question.about.iterations
        iterations = version.iterations if asked is None else asked
        values = math.prod(shape) * (iterations + 1)
        if values > self.values:
            raise Refusal(
                413, f"The request needs {values} values; the limit is {self.values}. Split it."
            )
        return number, version, asked, shape[1:]

    def _describe(self, question: Question) -> Any:
        if question.about == "status":
            return self.versions.status(question.version)
        number, version = self.versions.get(question.version)
        return number, version.metadata()

    def _compute(
        self, number: int, version: Any, iterations: int | None, calls: list[np.ndarray]
    ) -> list[Prediction | Refusal]:
        windows = np.concatenate(calls)
        size = self.batch
        parts = [
            version(windows[start : start + size], iterations)
            for start in range(0, len(windows), size)
        ]
        ends = np.cumsum([len(call) for call in calls])[:-1]
        outputs = {
            name: np.split(np.concatenate([part[name] for part in parts]), ends)
            for name in parts[0]
        }
        batch = min(size, len(windows))
        return [
            _checked(Prediction({name: of[i] for name, of in outputs.items()}, number, batch))
            for i in range(len(calls))
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


def _checked(prediction: Prediction) -> Prediction | Refusal:
    finite = np.all(
        [np.isfinite(of).reshape(len(of), -1).all(axis=1) for of in prediction.outputs.values()],
        axis=0,
    )
    if finite.all():
        return prediction
    return Refusal(
        422,
        f"The model's answer is not finite in window {np.flatnonzero(~finite)[0]}: its solver "
        "diverges there. Look at the units of the observations.",
    )
