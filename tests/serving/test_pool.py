import asyncio
import contextlib
import os

import pytest

from tf4dvar.errors import InputError
from tf4dvar.serving import pool as pool_module
from tf4dvar.serving.pool import Pool
from tf4dvar.serving.protocol import Refusal

BATCH = 4
# A replica without a model, whose argument is a folder; it answers with the number of questions
# it got at once.
PROGRAM = """
import os, pickle, sys, time
from pathlib import Path

def say(answer):
    message = pickle.dumps(answer)
    sys.stdout.buffer.write(len(message).to_bytes(8, "little") + message)
    sys.stdout.flush()

(folder,) = pickle.load(sys.stdin.buffer)
with open(folder / "starts", "a") as starts:
    starts.write("x")
if (folder / "starts").stat().st_size in (2, 3) or (folder / "fail").exists():
    sys.exit(7)
say(None)
while True:
    questions = pickle.load(sys.stdin.buffer)
    if "die" in questions:
        os._exit(3)
    if "fall silent" in questions:
        (folder / "number").write_text(str(os.getpid()))
        os.close(1)
        time.sleep(600)
    while "hold" in questions and not (folder / "let go").exists():
        time.sleep(0.01)
    say([len(questions)] * len(questions))
"""


@pytest.fixture
def pool(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "PROGRAM", PROGRAM)
    monkeypatch.setattr(pool_module, "PAUSE", 0.01)
    return Pool(1, BATCH, (tmp_path,))


def with_replicas(pool, scenario):
    """Run a scenario beside the replicas."""

    async def run():
        keeper = asyncio.create_task(pool.run())
        await until(lambda: pool.ready)
        await scenario()
        keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeper

    asyncio.run(asyncio.wait_for(run(), 60))


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_what_waits_is_asked_together_up_to_a_batch(pool):
    async def scenario():
        assert await asyncio.gather(*(pool.ask("?") for _ in range(6))) == [4, 4, 4, 4, 2, 2]
        assert await pool.ask("?") == 1

    with_replicas(pool, scenario)


def test_what_was_given_up_is_not_asked(pool, tmp_path):
    async def scenario():
        held = asyncio.create_task(pool.ask("hold"))
        await asyncio.sleep(0)
        await until(lambda: not pool._waiting)
        given_up, waiting = (asyncio.create_task(pool.ask("?")) for _ in range(2))
        await until(lambda: len(pool._waiting) == 2)
        given_up.cancel()
        await until(lambda: len(pool._waiting) == 1)
        (tmp_path / "let go").touch()
        assert (await held, await waiting) == (1, 1)
        assert not pool._waiting

    with_replicas(pool, scenario)


def test_a_replica_is_started_again_with_pauses_that_grow_while_it_cannot_load(pool, caplog):
    async def scenario():
        asked = [pool.ask("die"), pool.ask("?")]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert [answer.status for answer in answers] == [503, 503]
        await until(lambda: not pool.ready)
        with pytest.raises(Refusal, match="No replica is ready"):
            await pool.ask("?")
        await until(lambda: pool.ready)
        assert await pool.ask("?") == 1

    with_replicas(pool, scenario)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == [
        "A replica ended with code 3; it is started again",
        "A replica ended with code 7 while it loaded; it is started again in 0.01 s",
        "A replica ended with code 7 while it loaded; it is started again in 0.02 s",
    ]


def test_one_that_is_ended_is_waited_for_also_by_a_pool_that_ends_meanwhile(pool, tmp_path):
    async def scenario():
        with pytest.raises(Refusal, match="died"):
            await pool.ask("fall silent")
        # A turn later its end has begun, which takes `PATIENCE`.
        await asyncio.sleep(0)

    with_replicas(pool, scenario)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "number").read_text()), 0)


@pytest.mark.parametrize("replicas", [1, 2])
def test_it_ends_where_no_replica_can_load(pool, replicas, tmp_path):
    (tmp_path / "fail").touch()
    pool = Pool(replicas, BATCH, (tmp_path,))
    with pytest.raises(InputError, match="No replica could load a model"):
        asyncio.run(pool.run())
