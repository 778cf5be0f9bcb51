import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cli.test_app import fail, succeed
from tf4dvar.classical import WeakAnnealed
from tf4dvar.data import Members, protocol_plan, simulate_dataset
from tf4dvar.data.fields import FIELDS, simulate_fields
from tf4dvar.evaluation.comparison import problem_of
from tf4dvar.evaluation.field_comparison import filled_by
from tf4dvar.evaluation.field_scores import field_scores
from tf4dvar.evaluation.metrics import r_score
from tf4dvar.evaluation.reconstruction import reconstruct
from tf4dvar.evaluation.scores import evaluate
from tf4dvar.experiments import EXPERIMENTS, Experiment
from tf4dvar.export.published import OTHER_WINDOWS, other_observations, readme
from tf4dvar.layers import GENN, ConvCell, GradientSolver
from tf4dvar.models import FourDVarNet, load_model
from tf4dvar.storage.published import card_of
from tf4dvar.storage.version_directory import check_digests
from tf4dvar.systems import Lorenz96, system_by_name
from tf4dvar.systems.instruments import PLANS
from tf4dvar.training import train

pytestmark = pytest.mark.long

SAVED_MODELS = Path(__file__).parents[2] / "saved_models"
SHIPPED = sorted(SAVED_MODELS.glob("*/card.json"))
OF_FIELDS = [path for path in SHIPPED if json.loads(path.read_text())["system"] in FIELDS]
SMALL = Experiment(
    "small",
    "a small model",
    "l63",
    lambda: FourDVarNet(GENN(units=4), GradientSolver(ConvCell((2, 2)), iterations=2)),
    *("sup", "genn", "conv"),
    epochs=1,
    windows=32,
    batch_size=16,
    stages=((0.0, 2),),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A folder of runs and one of published models, with one model in each."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EXPERIMENTS, SMALL.name, SMALL)
        train(SMALL, folder / "run")
        out = folder / "models" / "l63-small"
        succeed("publish", folder / "run", "--out", out, "--windows", 8)
    return folder, out


def test_a_published_model_is_the_trained_one_in_both_forms(published, windows):
    folder, out = published
    observations = windows["observations"].values[:3].astype("float32")
    expected = load_model(folder / "run").predict(observations, verbose=0)
    ours = load_model(out)
    assert not ours.compiled
    np.testing.assert_array_equal(ours.predict(observations, verbose=0), expected)
    served = tf.saved_model.load(out / "1").signatures["serving_default"]
    found = served(observations=tf.constant(observations))["state"]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_its_card_and_readme_tell_what_it_is(published):
    _, out = published
    (card,) = json.loads(succeed("models", out.parent, "--json"))
    assert card == json.loads((out / "card.json").read_text())
    assert (card["name"], card["system"], card["protocol"]) == ("l63-small", "l63", "C")
    assert card["source"]["training"]["seed"] == 0
    assert card["source"]["steps"] == 2
    assert card["scores"]["windows"] == 8
    readme = (out / "README.md").read_text()
    assert f"**{card['scores']['r_score']:.3f}**" in readme
    assert "Bayes limit" in readme
    for label, score in card["scores"]["other_observations"].items():
        assert f"| {label} | {score:.3g} |" in readme
    assert "l63-small" in succeed("models", out.parent)


def test_a_folder_without_models_is_answered_in_one_line(published, tmp_path):
    assert "no published model" in fail("models", tmp_path)
    damaged = tmp_path / "damaged" / "card.json"
    damaged.parent.mkdir()
    damaged.write_text("{")
    assert "damaged" in fail("models", tmp_path)
    damaged.write_text('{"name": "x", "summary": "y", "scores": {"r_score": "low"}}')
    assert "Expected `float`, got `str` - at `$.scores.r_score`" in fail("models", tmp_path)
    damaged.write_text(
        '{"name": "x", "summary": "y", "scores": {"r_score": 1.0, "r_score_se": null}}'
    )
    assert "R-score 1.000   y" in succeed("models", tmp_path)
    assert "no training" in fail("publish", tmp_path, "--out", tmp_path / "out")


def test_a_score_without_a_standard_error_is_not_published(published, tmp_path):
    folder, _ = published
    for windows in (1, 0, -1):
        arguments = ("publish", folder / "run", "--out", tmp_path / "out", "--windows", windows)
        assert "at least 2" in fail(*arguments)
    assert not (tmp_path / "out").exists()


def test_a_model_is_tried_on_other_observations():
    seen = []

    class Fake:
        noise_variance = None

        def predict(self, inputs, verbose):
            seen.append(inputs)
            return np.zeros_like(inputs["observations"])

    scores = other_observations(Fake(), "l63", "C")
    assert np.ptp(list(scores.values())) < 0.1 * scores["as in training"]
    assert not any("noise_variance" in each for each in seen)
    observed = [each["observations"] for each in seen]
    times = [set(np.flatnonzero(np.isfinite(one).any(axis=(0, 2)))) for one in observed]
    assert times == [
        set(range(16, 190, 8)),
        set(range(11, 190, 8)),
        set(range(12, 190, 4)),
        set(range(16, 190, 16)),
        set(range(16, 190, 8)),
    ]
    assert all(one.shape == (OTHER_WINDOWS, 200, 3) for one in observed)

    # One that draws its patterns is tried on the same, and told the noise where it takes it.
    Fake.noise_variance = 2.0
    seen.clear()
    drawn = other_observations(Fake(), "l63", "any")
    assert list(drawn.values()) == list(scores.values())
    assert next(iter(drawn)) == "protocol C"
    assert [np.ptp(each["noise_variance"]) for each in seen] == [0.0] * 5
    assert [each["noise_variance"].max() for each in seen] == [2.0] * 4 + [4.0]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_readme_tells_what_its_card_does(path):
    card = card_of(path.parent)
    assert (path.parent / "README.md").read_text() == readme(card)
    inside = path.parent / str(card["version"]) / "assets.extra" / "card.json"
    assert inside.read_text() == path.read_text()
    card = json.loads(path.read_text())
    assert "model.onnx" in card["sha256"] or "saved_model.pb" in card["sha256"]
    check_digests(path.parent / str(card["version"]), card)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_a_shipped_model_is_small_enough_for_a_repository(path):
    size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
    assert size < (25e6 if path in OF_FIELDS else 12e6)


def often(paths, *seldom):
    """As parameters; those of some names take long, and are of `make test-all`."""
    return [
        pytest.param(
            path,
            id=path.parent.name,
            marks=[pytest.mark.slow] if path.parent.name in seldom else [],
        )
        for path in paths
    ]


@pytest.mark.parametrize("path", often(OF_FIELDS, "qg-nadirs", "tracer-clouds"))
def test_a_shipped_model_of_fields_scores_as_its_card_says(path):
    card = json.loads(path.read_text())
    system = FIELDS[card["system"]]()
    data = simulate_fields(system, PLANS[card["protocol"]], days=41, seed=77)
    members = Members.of(data[["observations"]])
    states = filled_by(load_model(path.parent), members, lambda *_: None).states
    scores = field_scores(states[:, 10:-10], data["truth"].values[:, 10:-10], 1.0, 15.625)
    # Runs of the system differ by as much.
    assert abs(scores.mu - card["scores"]["mu"]) < 0.03


@pytest.mark.parametrize("path", often(sorted({*SHIPPED} - {*OF_FIELDS}), "l96-paper"))
def test_a_shipped_model_scores_as_its_card_says(path):
    card = json.loads(path.read_text())
    model = keras.saving.load_model(path.parent / "model.keras")
    plan = protocol_plan(card["system"], card["protocol"])
    windows = {"l63": 300, "l96": 16}[card["system"]]
    fresh = simulate_dataset(system_by_name(card["system"]), plan, windows, seed=77)
    found, claimed = evaluate(model, fresh), card["scores"]
    error = np.hypot(found["r_score_se"], claimed["r_score_se"])
    assert abs(found["r_score"] - claimed["r_score"]) < 4 * error


@pytest.mark.slow
def test_second_order_steps_from_the_lorenz96_model():
    fresh = simulate_dataset(Lorenz96(), protocol_plan("l96", "T"), windows=32, seed=78)
    model = load_model(SAVED_MODELS / "l96")
    states = reconstruct(model, fresh["observations"].values).states.astype("float64")
    analysis = WeakAnnealed(steps=40).analyse(problem_of(fresh, states))
    assert analysis.iterations.max() <= 40
    # docs/results.md: 0.104, with a tail of windows that end far off.
    scores = r_score(analysis.states, fresh["truth"].values)
    assert np.median(scores) < 0.13
    assert np.mean(scores) < 0.3
