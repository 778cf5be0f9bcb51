"""The processes of the replicas, and the questions that wait for one of them."""

import asyncio
import contextlib
import logging
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from typing import Any

from tf4dvar.errors import InputError
from tf4dvar.serving.protocol import Refusal
from tf4dvar.serving.replica import PREFIX, Question

logger = logging.getLogger(__name__)

PROGRAM = "from tf4dvar.serving.replica import run; run()"
# Those that end the server, which ends the replicas when all is answered.
STOPPING = {signal.SIGINT, signal.SIGTERM}
# Seconds before a replica that failed to load is started again, the first time and at most.
PAUSE, LONGEST_PAUSE = 1.0, 60.0
# Seconds in which a replica ends by itself: it does at once, if it is not loading.
PATIENCE = 1.0


class Pool:
    """Replicas, each a process, which are asked, and are started again when they die.

    A replica that is free takes all questions that wait, up to a batch; those that come meanwhile
    make the next one, so that nobody waits for a batch to fill.

    Args:
        replicas: how many.
        batch: questions that a replica gets at once, at most.
        arguments: of `Replica`.
    """

    def __init__(self, replicas: int, batch: int, arguments: tuple):
        self._replicas = replicas
        self._batch = batch
        self._arguments = arguments
        # In the order in which they came; one that is given up is taken out.
        self._waiting: dict[asyncio.Future, Question] = {}
        self._asked = asyncio.Event()
        # Numbers of replicas: those that can be asked, and those that failed to load.
        self._ready: set[int] = set()
        self._failed: set[int] = set()
        # Whether any ever did.
        self._loaded = False

    @property
    def ready(self) -> bool:
        """Whether a replica can be asked."""
        return bool(self._ready)

    async def ask(self, question: Question) -> Any:
        """The answer of a replica.

        Raises:
            Refusal: it is the answer, or no replica is ready.
        """
        if not self.ready:
            raise Refusal(503, "No replica is ready, the model is being loaded; try again.")
        future = asyncio.get_running_loop().create_future()
        self._waiting[future] = question
        self._asked.set()
        try:
            answer = await future
        finally:
            self._waiting.pop(future, None)
        if isinstance(answer, Refusal):
            raise answer
        return answer

    async def run(self) -> None:
        """Keep the replicas running until cancelled, which ends them.

        Raises:
            InputError: not one could load a model.
        """
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(self._replicas):
                    group.create_task(self._keep(number))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _keep(self, number: int) -> None:
        """Start a replica, and again when it has died."""
        pause = PAUSE
        while True:
            process = await self._start()
            tasks = [
                asyncio.create_task(process.wait()),
                asyncio.create_task(self._serve(number, process)),
            ]
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                await _end(process, tasks)
            if number in self._ready:
                self._ready.remove(number)
                logger.error("A replica %s; it is started again", _end_of(process))
                pause = PAUSE
                continue
            self._failed.add(number)
            if not self._loaded and len(self._failed) == self._replicas:
                raise InputError("No replica could load a model; the log says why.")
            logger.error(
                "A replica %s while it loaded; it is started again in %g s", _end_of(process), pause
            )
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    async def _start(self) -> Process:
        # Blocked before it is there, they reach no replica: Ctrl-C is sent to all processes.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            return await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-c", PROGRAM),
                stdin=PIPE,
                stdout=PIPE,
                limit=2**20,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    async def _serve(self, number: int, process: Process) -> None:
        """Give a replica the questions that wait, from when it has loaded a model to its end."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await _exchange(process, self._arguments)
            self._loaded = True
            self._ready.add(number)
            while True:
                while not self._waiting:
                    self._asked.clear()
                    await self._asked.wait()
                await self._answer(process, list(self._waiting)[: self._batch])

    async def _answer(self, process: Process, futures: list[asyncio.Future]) -> None:
        questions = [self._waiting.pop(future) for future in futures]
        answers = [Refusal(503, "The replica that computed this died; try again.")] * len(futures)
        try:
            answers = await _exchange(process, questions)
        finally:
            for future, answer in zip(futures, answers, strict=True):
                if not future.done():  # it was given up
                    future.set_result(answer)


async def _exchange(process: Process, message: Any) -> Any:
    """Send a replica something and wait for what it says to it."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(PREFIX), "little")
    return pickle.loads(await process.stdout.readexactly(length))


async def _end(process: Process, tasks: list[asyncio.Task]) -> None:
    """End a replica and what speaks with it; a cancellation that comes meanwhile waits for it."""

    async def end() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert process.stdin is not None
        process.stdin.close()
        # By the end of its input, or else by force.
        try:
            await asyncio.wait_for(process.communicate(), PATIENCE)
        except TimeoutError:
            process.kill()
            await process.communicate()

    ending = asyncio.create_task(end())
    try:
        await asyncio.shield(ending)
    except asyncio.CancelledError:
        await asyncio.wait([ending])
        raise


def _end_of(process: Process) -> str:
    code = process.returncode
    assert code is not None
    if code < 0:
        return f"was ended by signal {-code} ({signal.strsignal(-code)})"
    return f"ended with code {code}"
