import asyncio
import time

import numpy as np
import pytest

from tf4dvar.serving import replica as replica_module
from tf4dvar.serving.protocol import Call, Limits, Refusal
from tf4dvar.serving.replica import Prediction, Question, Replica
from tf4dvar.serving.rest import Rest
from tf4dvar.serving.versions import Versions

pytestmark = pytest.mark.long

BATCH = 4


@pytest.fixture
def replica(exported):
    replica = Replica(exported, BATCH, Limits().values, force=False)
    replica.versions = Versions(exported)
    replica.versions.refresh()
    return replica


def question(observations, iterations=None, version=None, seconds=60.0):
    return Question(version, Call(observations, iterations, True), time.monotonic() + seconds)


def test_windows_of_one_length_are_computed_together(replica, model, observations):
    """Whatever else is asked for, and also where they are more than a batch."""
    questions = [
        question(observations[:2]),
        question(observations[:, :9]),
        question(observations[2:]),
        Question(None, "status", 0.0),
        question(observations[:1], iterations=3),
    ]
    answers = replica.predict(questions)
    state = model.predict(observations, verbose=0)
    np.testing.assert_allclose(answers[0].outputs["state"], state[:2], atol=1e-5)
    np.testing.assert_allclose(answers[2].outputs["state"], state[2:], atol=1e-5)
    np.testing.assert_allclose(
        answers[1].outputs["state"], model.predict(observations[:, :9], verbose=0), atol=1e-5
    )
    assert answers[3]["model_version_status"][0]["version"] == "1"
    assert answers[4].outputs["cost"].shape == (1, 4)
    assert [answers[i].batch for i in (0, 1, 2, 4)] == [BATCH, BATCH, BATCH, 1]


def test_each_failure_is_the_answer_to_its_own_question(replica, observations):
    with np.errstate(over="ignore"):
        wild = observations[:1] * np.float32(1e38)
    refusals = replica.predict(
        [
            question(observations, seconds=-1.0),
            question(observations[..., :2]),
            question(observations, version=9),
            question(np.clip(wild, -3e38, 3e38)),
        ]
    )
    assert [refusal.status for refusal in refusals] == [504, 400, 404, 422]
    (answer,) = replica.predict([question(observations)])
    assert isinstance(answer, Prediction)


@pytest.mark.parametrize("iterations", [None, 0, 5])
def test_the_iterations_that_will_be_made_count(replica, model, observations, iterations):
    """Those of the request or, if it tells none, of the model."""
    made = model.iterations if iterations is None else iterations
    replica.values = observations.size * (made + 1)
    (answer,) = replica.predict([question(observations, iterations)])
    assert isinstance(answer, Prediction)
    replica.values -= 1
    (refusal,) = replica.predict([question(observations, iterations)])
    assert refusal.status == 413
    assert f"needs {replica.values + 1} values" in refusal.message


def test_a_directory_that_cannot_be_looked_at_is_told_once(replica, monkeypatch, caplog):
    """And looked at again: what is loaded is served, what comes later is found."""
    fails = OSError(5, "Input/output error")
    looks = iter([fails, fails, None, fails, ValueError("other"), KeyboardInterrupt])

    def refresh():
        look = next(looks)
        if look:
            raise look

    monkeypatch.setattr(replica_module, "REFRESH", 0)
    monkeypatch.setattr(replica.versions, "refresh", refresh)
    with pytest.raises(KeyboardInterrupt):
        replica._follow()
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(said) == 3
    assert said[0] == said[1]
    assert "Input/output error" in said[0]


@pytest.mark.parametrize(("limit", "status"), [({"requests": 1}, 503), ({"seconds": 0.01}, 504)])
def test_what_takes_too_long_or_is_too_much_is_refused(limit, status):
    rest = Rest(None, "model", Limits(**limit))
    rest.in_progress = 2

    async def never(request):
        await asyncio.Event().wait()

    with pytest.raises(Refusal) as refusal:
        asyncio.run(rest._within_limits(never, None))
    assert refusal.value.status == status
