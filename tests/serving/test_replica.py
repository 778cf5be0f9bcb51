import asyncio
import time

import numpy as np
import pytest

from tf4dvar.export import save
from tf4dvar.layers import GENN, GradientSolver, LSTMCell
from tf4dvar.models import FourDVarNet
from tf4dvar.models.state_checks import suspect_windows
from tf4dvar.serving import replica as replica_module
from tf4dvar.serving.protocol import (
    DEFAULT,
    GIVEN,
    POSTERIOR,
    WITH_ITERATIONS,
    Call,
    Limits,
    Refusal,
)
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
    name = DEFAULT if iterations is None else WITH_ITERATIONS
    call = Call(observations, True, name, iterations)
    return Question(version, call, time.monotonic() + seconds)


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


def asked(observations, signature, **given):
    return Question(None, Call(observations, False, signature, None, given), time.monotonic() + 60)


def test_what_is_known_of_each_window_goes_with_it(replica, model, observations, rng):
    variance = rng.uniform(0.5, 2.0, observations.shape).astype("float32")
    background = rng.normal(size=observations.shape).astype("float32")
    known = {"noise_variance": variance, "background": background}
    first, rest = (
        {name: of[part] for name, of in known.items()} for part in (slice(2), slice(2, 5))
    )
    answers = replica.predict(
        [
            asked(observations[:2], POSTERIOR, **first),
            asked(observations, POSTERIOR),
            asked(observations[2:], POSTERIOR, **rest),
            asked(observations, GIVEN, noise_variance=variance),
        ]
    )
    mean, std = model.posterior({"observations": observations, **known})
    for answer, part in ((answers[0], slice(2)), (answers[2], slice(2, 5))):
        np.testing.assert_allclose(answer.outputs["state"], mean[part], atol=1e-4)
        np.testing.assert_allclose(answer.outputs["std"], std[part], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(answers[1].outputs["std"], model.posterior(observations).std, 1e-4)
    told = {"observations": observations, "noise_variance": variance}
    expected = model.predict(told, verbose=0)
    np.testing.assert_allclose(answers[3].outputs["state"], expected, atol=1e-4)
    suspects = suspect_windows(model, told, expected)
    assert answers[3].suspect == np.flatnonzero(suspects).tolist()


def test_states_that_do_not_fit_are_told(replica, observations):
    """Those of all windows but of the one that has no observation."""
    (answer,) = replica.predict([question(observations)])
    assert answer.suspect == [0, 1, 3, 4]
    replica.versions.get(None)[1]._observation = "LinearObservation"
    (answer,) = replica.predict([question(observations)])
    assert answer.suspect == []


def test_what_a_model_does_not_have_is_refused(observations, tmp_path):
    plain = FourDVarNet(GENN(), GradientSolver(LSTMCell(4), 1))
    plain.build((None, None, 3))
    save(plain, tmp_path)
    replica = Replica(tmp_path, BATCH, Limits().values, force=False)
    replica.versions = Versions(tmp_path)
    replica.versions.refresh()
    few = observations[..., :2]
    refusals = replica.predict(
        [asked(observations, POSTERIOR), asked(observations, GIVEN, background=few)]
    )
    assert [refusal.status for refusal in refusals] == [400, 400]
    assert "no signature 'posterior'" in refusals[0].message
    assert "'background' of 2 components" in refusals[1].message


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
