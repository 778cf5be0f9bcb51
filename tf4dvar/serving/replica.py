"""A replica: the process that holds the model and answers calls in batches."""

import logging
import math
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from queue import Empty
from typing import Any, NamedTuple

import litserve
import numpy as np
from litserve.loops import LitLoop
from litserve.utils import LitAPIStatus, LoopResponseType

from tf4dvar.errors import first_line
from tf4dvar.runtime import load_tensorflow
from tf4dvar.serving.logs import log_as_json
from tf4dvar.serving.protocol import Call, Refusal

logger = logging.getLogger(__name__)

# Seconds between looks at the directory.
REFRESH = 1.0
# Seconds without a question after which a replica that should stop does.
PATIENCE = 0.5


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


class Replica(litserve.LitAPI):
    """Loads the versions in a directory, follows what is exported, answers questions.

    Args:
        directory: of the versions.
        batch: windows in one call of the graph, at most.
        values: the limit of `Limits`.
        force: take a directory without this package's card.
    """

    def __init__(self, directory: Path, batch: int, values: int, force: bool, **kwargs: Any):
        super().__init__(max_batch_size=batch, loop=BatchLoop(), **kwargs)
        self.directory = directory
        self.values = values
        self.force = force
        self.stopping = False

    def setup(self, device: str) -> None:
        """Load the model, in the process of the replica."""
        # It ends when nothing waits: Ctrl-C, say, is sent to all processes at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        log_as_json()
        load_tensorflow()
        from tf4dvar.serving.versions import Versions

        self.versions = Versions(self.directory, self.force)
        self.versions.refresh()
        self.versions.get(None)
        threading.Thread(target=self._follow, daemon=True).start()

    def _stop(self, signum: int, frame: Any) -> None:
        self.stopping = True

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
        if shape[-1] != version.components:
            raise Refusal(
                400,
                f"Received observations of shape {list(shape)}; expected {version.components} "
                "components on the last axis, an unobserved one filled with null.",
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
        size = self.max_batch_size
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
        while True:
            time.sleep(REFRESH)
            try:
                self.versions.refresh()
            except Exception:
                logger.exception("Looking for new versions failed")


class BatchLoop(LitLoop):
    """Takes all questions that wait, up to a batch, and has them answered together.

    Those that come while a batch is computed make the next one, so that nobody waits for a
    batch to fill.
    """

    def run(
        self,
        lit_api: Replica,
        device: str,
        worker_id: int,
        request_queue: Any,
        transport: Any,
        workers_setup_status: Any,
        callback_runner: Any,
    ) -> None:
        """Answer one batch."""
        try:
            waiting = [request_queue.get(timeout=PATIENCE)]
        except Empty:
            if lit_api.stopping:
                raise SystemExit from None
            return
        try:
            while len(waiting) < lit_api.max_batch_size:
                waiting.append(request_queue.get_nowait())
        except Empty:
            pass
        answers = lit_api.predict([question for *_, question in waiting])
        for (consumer, uid, *_), answer in zip(waiting, answers, strict=True):
            self.put_response(
                transport, consumer, uid, answer, LitAPIStatus.OK, LoopResponseType.REGULAR
            )


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
