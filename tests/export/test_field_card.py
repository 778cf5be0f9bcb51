import json
from functools import partial

import pytest

from tests.cli.test_app import fail, succeed
from tests.training.test_simulated_fields import EXPERIMENT
from tf4dvar.data import fields
from tf4dvar.experiments import EXPERIMENTS
from tf4dvar.export import field_card, published
from tf4dvar.systems import QuasiGeostrophic
from tf4dvar.training import simulated_fields, train

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the run of a small model of fields, and the published one."""
    folder = tmp_path_factory.mktemp("published")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(fields.FIELDS, "qg", partial(QuasiGeostrophic, points=16))
        patch.setitem(fields._ATTRIBUTES, partial, fields._ATTRIBUTES[QuasiGeostrophic])
        patch.setitem(EXPERIMENTS, EXPERIMENT.name, EXPERIMENT)
        for name, value in {"MEMBERS": 2, "OF_VALIDATION": 1, "DAYS": 9, "SPIN_UP": 3}.items():
            patch.setattr(simulated_fields, name, value)
        patch.setattr(field_card, "DAYS", 30)
        patch.setattr(field_card, "SPIN_UP", 3)
        patch.setattr(published, "DAYS", 30)
        train(EXPERIMENT, folder / "run", epochs=1, verbose=0)
        succeed("publish", folder / "run", "--out", folder / "models" / "qg-small")
        yield folder


def test_its_card_and_page_tell_what_it_is(folder):
    (card,) = json.loads(succeed("models", folder / "models", "--json"))
    scores = card["scores"]
    assert (card["system"], card["protocol"], scores["seed"]) == ("qg", "nadirs", 2021)
    assert scores["maps"] == 2 * (30 - 20)
    assert scores["other_observations"]["as in training"] == scores["mu"]
    assert scores["mu"] < 1
    page = (folder / "models" / "qg-small" / "README.md").read_text()
    assert f"{scores['mu']:.4f}" in page
    assert "[window, 4 days, y, x, 1]" in page
    assert f"mu {scores['mu']:.3f}" in succeed("models", folder / "models")


def test_its_number_of_windows_is_its_own(folder, tmp_path):
    said = fail("publish", folder / "run", "--out", tmp_path / "other", "--windows", 8)
    assert "scored on 2 series of 30 days" in said


def test_a_damaged_card_is_refused(tmp_path):
    card = tmp_path / "models" / "damaged" / "card.json"
    card.parent.mkdir(parents=True)
    card.write_text('{"name": "x", "summary": "y", "system": "qg", "scores": {"mu": "high"}}')
    assert "$.scores.mu" in fail("models", tmp_path / "models")
