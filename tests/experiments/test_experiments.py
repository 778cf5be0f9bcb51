import numpy as np
import pytest

from tf4dvar.data import protocol_plan, simulate_dataset
from tf4dvar.errors import InputError
from tf4dvar.evaluation.metrics import OBSERVATION_WEIGHT, PRIOR_WEIGHT
from tf4dvar.experiments import EXPERIMENTS, TABLES, experiment_by_name, true_flow
from tf4dvar.layers import (
    GENN,
    ConvCell,
    GradientSolver,
    LSTMCell,
    PeriodicGENN,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet, SupervisedLoss, UnsupervisedLoss
from tf4dvar.systems import Lorenz96, system_by_name
from tf4dvar.training import learned_weights, train

ROWS = [row for rows in TABLES.values() for row in rows]
LEARNED = [row for row in ROWS if row.build is not None]
PRIORS = {
    ("l63", "rk4"): RK4Flow,
    ("l63", "genn"): GENN,
    ("l96", "rk4"): RK4Flow,
    ("l96", "genn"): PeriodicGENN,
}
CELLS = {
    ("l63", "conv"): ConvCell,
    ("l63", "lstm"): LSTMCell,
    ("l96", "conv"): ConvCell,
    ("l96", "lstm"): LSTMCell,
}
GENN_WEIGHTS = {"l63": 15_300, "l96": 52_150}


def test_names_say_what_a_row_is():
    combinations = {
        f"{system}-{setting}"
        for system in ("l63", "l96")
        for setting in (
            "none-rk4-fsgd",
            *(
                f"{loss}-{prior}-{cell}"
                for loss in ("unsup", "sup")
                for prior in ("rk4", "genn")
                for cell in ("conv", "lstm")
            ),
        )
    }
    assert {row.name for row in ROWS} == combinations
    for row in ROWS:
        system, setting = row.system, row.setting
        assert row.name == f"{system}-{setting}-{row.prior}-{row.update}"
        assert row.windows == {"l63": 10_000, "l96": 2_000}[system]
        assert protocol_plan(system, row.protocol) == protocol_plan(system)
        assert (row.build is None) == (setting == "none")
        begun, iterations = zip(*row.stages, strict=True)
        assert begun[0] == 0
        assert list(begun) == sorted(set(begun))
        assert list(iterations) == sorted(set(iterations))


@pytest.mark.long
@pytest.mark.parametrize("row", LEARNED, ids=lambda row: row.name)
def test_models_are_what_their_names_say(row):
    system, setting, prior, cell = row.system, row.setting, row.prior, row.update
    model = row.build()
    model.build((None, None, len(system_by_name(row.system).components)))
    assert type(model.prior) is PRIORS[system, prior]
    assert type(model.solver.update) is CELLS[system, cell]
    assert type(row.loss) is {"sup": SupervisedLoss, "unsup": UnsupervisedLoss}[setting]
    if setting == "unsup":  # the paper's weights, at another scale
        ratio = row.loss.observation_weight / row.loss.prior_weight
        assert ratio == OBSERVATION_WEIGHT / PRIOR_WEIGHT
    # A known prior is frozen, an identified one will be, and a joint one is not.
    assert bool(model.prior.trainable_variables) == (prior == "genn")
    assert bool(row.identification_epochs) == (prior == "genn" and setting == "unsup")
    # The weights of a prior that is identified first are learned as well.
    learned = learned_weights(row, model)
    model.prior.trainable = False
    solver = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
    assert learned - solver == {"rk4": 0, "genn": GENN_WEIGHTS[system]}[prior]
    assert learned_weights(row, model) == (learned if row.identification_epochs else solver)


def test_the_papers_scores_are_those_of_its_tables():
    """R-scores of Tables 1 and 2, row by row; the two without are "very poorly" there."""
    known = {row.name: row.paper.r_score for row in EXPERIMENTS.values() if row.paper.r_score}
    values = [3.55, 3.52, 4.52, 7.05, 29.85, 2.82, 4.00, 1.34, 1.62]
    assert known == dict(zip((row.name for row in TABLES["l63"]), values, strict=True)) | {
        "l96-none-rk4-fsgd": 1.06,
        "l96-unsup-rk4-conv": 1.00,
        "l96-unsup-rk4-lstm": 1.32,
        "l96-sup-rk4-conv": 0.82,
        "l96-sup-rk4-lstm": 0.97,
        "l96-sup-genn-conv": 0.49,
        "l96-sup-genn-lstm": 0.38,
    }


def test_an_unknown_name_is_answered_with_the_nearest():
    for name, nearest in (
        ("l63-sup-gen-lstm", "the nearest are: l63-sup-genn-lstm,"),
        ("L96-SUP-GENN-CONV", "the nearest are: l96-sup-genn-conv,"),
        ("xyz", "'xyz'; `tf4dvar experiments` lists all"),
        ("", "''; `tf4dvar experiments` lists all"),
    ):
        with pytest.raises(InputError, match=nearest):
            experiment_by_name(name)


def test_what_learns_nothing_cannot_be_trained(tmp_path):
    with pytest.raises(InputError, match="learns nothing"):
        train(experiment_by_name("l63-none-rk4-fsgd"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.long
@pytest.mark.parametrize(("prior", "cell"), [("rk4", ConvCell), ("genn", LSTMCell)])
def test_lorenz96_models_learn(prior, cell):
    data = simulate_dataset(Lorenz96(), protocol_plan("l96"), 8, steps=24)
    observations, truth = (data[name].values for name in ("observations", "truth"))
    phi = true_flow("l96") if prior == "rk4" else PeriodicGENN(units=4, kernel_size=5)
    model = FourDVarNet(phi, GradientSolver(cell(circle=True), iterations=3))
    model.adapt(observations)
    model.compile("adam", jit_compile=False)
    model.optimizer.learning_rate = 0.01
    history = model.fit(observations, truth, epochs=5, batch_size=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert np.isfinite(model.predict(observations, verbose=0)).all()
