import keras
import numpy as np
import pytest
import tensorflow as tf

from tf4dvar.layers import (
    GENN,
    ConvCell,
    FixedStepCell,
    GradientSolver,
    Lorenz63ODE,
    Lorenz96ODE,
    LSTMCell,
    RK4Flow,
)
from tf4dvar.models import FourDVarNet, RScore, SupervisedLoss, UnsupervisedLoss, twin


def make_model(prior="genn", cell=None):
    priors = {
        "genn": lambda: GENN(units=6),
        "rk4": lambda: RK4Flow(Lorenz63ODE(trainable=False), 0.01),
    }
    return FourDVarNet(priors[prior](), GradientSolver(cell or LSTMCell(units=6), iterations=3))


def compiled(model):
    model.compile(keras.optimizers.Adam(5e-3, clipnorm=1.0), metrics=[RScore()], jit_compile=False)
    return model


@pytest.fixture(scope="module")
def data(windows):
    return windows["observations"].values, windows["truth"].values


@pytest.fixture(scope="module")
def trained(data):
    keras.utils.set_random_seed(1)
    model = compiled(make_model())
    model.adapt(data[0])
    model.fit(*data, epochs=3, batch_size=10, verbose=0)
    return model


@pytest.mark.long
@pytest.mark.parametrize(("prior", "cell"), [("genn", ConvCell), ("rk4", LSTMCell)])
def test_fit_lowers_the_supervised_loss(prior, cell, data):
    model = compiled(make_model(prior, cell()))
    model.adapt(data[0])
    history = model.fit(*data, epochs=4, batch_size=10, verbose=0).history
    assert history["loss"][-1] < 0.98 * history["loss"][0]
    assert history["r_score"][-1] < history["r_score"][0]


def test_without_compile_keras_says_what_is_missing(data):
    model = FourDVarNet(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), iterations=1))
    with pytest.raises(ValueError, match=r"compile\(\)"):
        model.fit(*data, verbose=0)


def test_the_training_step_is_traced_once(data):
    traces = []

    class Traced(FourDVarNet):
        def train_step(self, batch):
            traces.append(batch)
            return super().train_step(batch)

    model = compiled(Traced(keras.layers.Dense(3), GradientSolver(FixedStepCell(0.1), 1)))
    model.fit(*data, epochs=2, batch_size=10, verbose=0)
    assert len(traces) == 1


@pytest.mark.long
def test_a_large_batch_trains_through_many_iterations(rng):
    truth = rng.normal(size=(256, 200, 3)).astype("float32")
    observations = np.where(np.arange(200)[:, None] % 8 > 0, np.nan, truth)
    model = compiled(FourDVarNet(GENN(), GradientSolver(LSTMCell(), iterations=20)))
    model.adapt(observations)
    loss = model.fit(observations, truth, batch_size=256, epochs=1, verbose=0).history["loss"]
    assert np.isfinite(loss).all()


@pytest.mark.long
@pytest.mark.parametrize("recompute", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.usefixtures("graph_optimiser")
def test_large_windows_of_a_known_shape_train(recompute, rng):
    # Of these the graph optimiser knows how much memory they take; see `_of_any_batch`.
    truth = tf.constant(rng.normal(size=(32, 50, 1000)), tf.float32)
    model = FourDVarNet(
        RK4Flow(Lorenz96ODE(), 0.05), GradientSolver(LSTMCell(), 2, recompute=recompute)
    )
    model.build(truth.shape)

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(model(truth)))
        return tape.gradient(loss, model.trainable_variables)

    for _ in range(3):
        assert all(np.isfinite(gradient).all() for gradient in gradients())


@pytest.mark.long
def test_fit_lowers_the_unsupervised_loss_without_truth(data):
    model = make_model("rk4", ConvCell())
    model.adapt(data[0])
    adam = keras.optimizers.Adam(5e-3, clipnorm=1.0)
    model.compile(adam, UnsupervisedLoss(), jit_compile=False)
    history = model.fit(data[0], epochs=4, batch_size=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_the_supervised_loss_says_that_it_needs_truth(data):
    model = compiled(make_model())
    with pytest.raises(ValueError, match="received no true states"):
        model.fit(data[0], epochs=1, verbose=0)


@pytest.mark.long
def test_losses_are_those_of_the_paper_in_normalised_units(trained, data):
    observations, truth = (values[:8].astype("float32") for values in data)
    state = trained.predict(observations, verbose=0)
    deviation = trained.normalisation.std.numpy()
    np.testing.assert_allclose(
        trained.compute_loss(observations, truth, state),
        np.mean(((state - truth) / deviation) ** 2),
        rtol=1e-4,
    )
    half_known = np.where(np.arange(200)[:, None] < 100, truth, np.nan)
    np.testing.assert_allclose(
        trained.compute_loss(observations, half_known, state),
        np.mean(((state - truth)[:, :100] / deviation) ** 2),
        rtol=1e-4,
    )
    unsupervised = twin(trained)
    unsupervised.compile(loss=UnsupervisedLoss())
    mean = trained.normalisation.mean.numpy()
    observation_term = np.nanmean(((state - observations) / deviation) ** 2, axis=(1, 2)).mean()
    residual = (state - trained.prior_prediction(state)) / deviation
    np.testing.assert_allclose(
        unsupervised.compute_loss(observations, None, state),
        0.01 * observation_term + np.mean(residual**2),
        rtol=1e-3,
    )
    assert mean.shape == (3,)


def test_the_supervised_loss_can_ask_the_prior_to_predict(trained, data):
    observations, truth = (values[:8].astype("float32") for values in data)
    state = trained.predict(observations, verbose=0)
    other = twin(trained)
    other.compile(loss=SupervisedLoss(truth_weight=0.5, state_weight=0.25))
    deviation = trained.normalisation.std.numpy()
    residuals = [
        np.mean(((x - trained.prior_prediction(x)) / deviation) ** 2) for x in (truth, state)
    ]
    expected = trained.compute_loss(observations, truth, state) + np.dot((0.5, 0.25), residuals)
    np.testing.assert_allclose(other.compute_loss(observations, truth, state), expected, rtol=1e-4)
    gaps = np.where(np.arange(200)[:, None] % 3 == 0, truth, np.nan)
    assert np.isfinite(other.compute_loss(observations, gaps, state))


@pytest.mark.long
def test_saving_and_loading_is_exact_with_the_optimiser(trained, data, tmp_path):
    trained.iterations = 4
    trained.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.iterations == 4
    np.testing.assert_array_equal(
        loaded.predict(data[0], verbose=0), trained.predict(data[0], verbose=0)
    )
    assert loaded.evaluate(*data, verbose=0) == trained.evaluate(*data, verbose=0)
    for ours, theirs in zip(trained.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))


def test_a_window_is_reconstructed_the_same_alone_and_in_any_batch(trained, data):
    observations = data[0].astype("float32")
    together = trained.predict(observations, batch_size=40, verbose=0)
    alone = trained.predict(observations[:5], batch_size=1, verbose=0)
    np.testing.assert_allclose(alone, together[:5], rtol=1e-5, atol=1e-4)
    others = np.concatenate([observations[:1], 1e3 * observations[1:]])
    np.testing.assert_allclose(
        trained.predict(others, verbose=0)[0], together[0], rtol=1e-5, atol=1e-4
    )


@pytest.mark.long
@pytest.mark.parametrize("prior", ["genn", "rk4"])
@pytest.mark.parametrize("steps", [2, 3, 57, 400])
def test_any_window_length_and_observed_share_gives_finite_states(prior, steps, data, rng):
    model = make_model(prior, ConvCell())
    model.adapt(data[0])
    truth = np.tile(data[1][:2], (1, 2, 1))[:, :steps].astype("float32")
    for share in (0.0, 0.3, 1.0):
        observations = np.where(rng.random(truth.shape) < share, truth, np.nan)
        states = model(observations.astype("float32")).numpy()
        assert states.shape == truth.shape
        assert np.isfinite(states).all()


def test_arrays_and_pipelines_give_the_same(trained, data):
    observations = data[0].astype("float32")
    pipeline = tf.data.Dataset.from_tensor_slices(observations).batch(40)
    np.testing.assert_array_equal(
        trained.predict(pipeline, verbose=0),
        trained.predict(observations, batch_size=40, verbose=0),
    )


def test_the_pathway_ends_in_the_prediction(trained, data):
    observations = data[0][:4].astype("float32")
    states, costs = trained.iterates(observations)
    np.testing.assert_allclose(states[-1], trained(observations), rtol=1e-5, atol=1e-4)
    assert costs.shape == (trained.iterations + 1, 4)


def test_what_does_not_fit_is_refused(trained, data):
    observations = data[0][:2].astype("float32")
    with pytest.raises(ValueError, match="expected 3 components"):
        trained(observations[..., :2])
    with pytest.raises(ValueError, match="expected \\[batch, time, component\\]"):
        make_model()(observations[0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="infinite observations"):
        trained(np.where(np.isnan(observations), np.inf, observations))
    with pytest.raises(ValueError, match=r"prior=<class .*; expected a Keras layer"):
        FourDVarNet(GENN, GradientSolver(LSTMCell()))
    with pytest.raises(ValueError, match="ellipsis; expected one of whole windows"):
        FourDVarNet(GENN(), GradientSolver(...))
    for cell in (keras.layers.LSTMCell(3), keras.layers.Dense(3)):
        with pytest.raises(ValueError, match=r"keras.*expected one of whole windows"):
            FourDVarNet(GENN(), GradientSolver(cell))


@pytest.mark.long
def test_summary_counts_the_paper_sizes(capsys):
    model = FourDVarNet(GENN(), GradientSolver(LSTMCell()))
    model.build((None, None, 3))
    assert model.count_params() == 15_300 + 3_345 + 2 + 1 + 6
    model.summary()
    printed = capsys.readouterr().out
    assert "18,647" in printed
    assert printed.count("(None, None, 3)") == 5
    assert "?" not in printed
