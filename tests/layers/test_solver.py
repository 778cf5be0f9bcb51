import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.finite_differences import directional_derivative
from tests.layers.layer_check import check_layer
from tf4dvar.layers import (
    GENN,
    ConvCell,
    CostGradient,
    FixedStepCell,
    GradientSolver,
    Lorenz63ODE,
    LSTMCell,
    RK4Flow,
    VariationalCost,
)
from tf4dvar.layers.checks import build_once, held_layers


def make_solver(cell=None, dtype="float32", **settings):
    return GradientSolver(cell or LSTMCell(units=4, dtype=dtype), dtype=dtype, **settings)


def make_gradient(prior=None, dtype="float32"):
    cost = VariationalCost(prior or GENN(units=4, dtype=dtype), dtype=dtype)
    return CostGradient(cost, dtype=dtype)


def solve(solver, first_guess, observations, mask, gradient):
    return solver(first_guess, observations, mask, cost_gradient=gradient)


@pytest.fixture
def problem(rng):
    truth = rng.normal(size=(3, 12, 3))
    mask = (rng.random(truth.shape) < 0.4).astype("float64")
    data = truth * mask, truth * mask, mask
    return *map(tf.constant, data), make_gradient(dtype="float64")


def test_with_a_fixed_step_it_is_plain_descent(problem):
    state, observations, mask, gradient = problem
    solver = make_solver(
        FixedStepCell(2.0, dtype="float64"), dtype="float64", iterations=7, normalise=False
    )
    found = solve(solver, state, observations, mask, gradient)
    for _ in range(7):
        state = state - 2.0 * gradient(state, observations, mask)[0]
    np.testing.assert_allclose(found, state, rtol=1e-12)


def test_descent_lowers_the_cost_of_every_window_at_every_iteration(problem):
    solver = make_solver(
        FixedStepCell(0.5, dtype="float64"), dtype="float64", iterations=15, normalise=False
    )
    solve(solver, *problem)
    costs = solver.iterates(*problem).costs.numpy()
    assert costs.shape == (16, 3)
    assert np.all(np.diff(costs, axis=0) < 0)


@pytest.mark.parametrize("cell", [LSTMCell, ConvCell])
def test_unrolled_and_looped_are_the_same(cell, problem):
    looped = make_solver(cell(dtype="float64"), dtype="float64", iterations=6)
    solve(looped, *problem)
    unrolled = GradientSolver.from_config({**looped.get_config(), "unroll": True})
    unrolled.build(problem[0].shape)
    unrolled.set_weights(looped.get_weights())
    np.testing.assert_allclose(solve(unrolled, *problem), solve(looped, *problem), rtol=1e-10)


def test_the_iterates_end_where_the_call_does(problem):
    solver = make_solver(dtype="float64", iterations=5)
    final = solve(solver, *problem)
    states, costs = solver.iterates(*problem)
    assert states.shape == (6, *problem[0].shape)
    np.testing.assert_array_equal(states[0], problem[0])
    np.testing.assert_allclose(states[-1], final, rtol=1e-12)
    *data, gradient = problem[1:]
    np.testing.assert_allclose(costs[3], gradient.cost(states[3], *data), rtol=1e-12)
    shorter = solver.iterates(*problem, iterations=tf.constant(2))
    np.testing.assert_allclose(shorter.states, states[:3], rtol=1e-12)


def test_iterations_change_with_no_new_trace(problem):
    solver = make_solver(dtype="float64", iterations=2)
    solve(solver, *problem)
    traces = []

    @tf.function
    def run(state):
        traces.append(state)
        return solve(solver, state, *problem[1:])

    states = solver.iterates(*problem, iterations=9).states
    for iterations in (2, 9, 0):
        solver.iterations = iterations
        assert solver.iterations == iterations
        np.testing.assert_allclose(run(problem[0]), states[iterations], rtol=1e-10)
    assert len(traces) == 1


def test_iterations_of_an_unrolled_solver_are_fixed_once_it_is_built(problem):
    solver = make_solver(dtype="float64", iterations=2, unroll=True)
    solver.iterations = 3
    solve(solver, *problem)
    assert solver.iterations == 3
    with pytest.raises(ValueError, match="unrolled solver that is already built with 3"):
        solver.iterations = 4


@pytest.mark.parametrize("wrong", [-1, 2.5])
def test_iterations_that_are_no_count_are_refused(wrong):
    with pytest.raises(ValueError, match="expected an integer"):
        make_solver(iterations=wrong)


@pytest.mark.long
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("prior", ["genn", "rk4"])
def test_training_gradients_through_the_iterations_agree_with_finite_differences(
    prior, unroll, problem, rng
):
    prior = {
        "genn": GENN(units=4, dtype="float64"),
        "rk4": RK4Flow(Lorenz63ODE(dtype="float64"), 0.01, dtype="float64"),
    }[prior]
    solver = make_solver(dtype="float64", iterations=4, unroll=unroll)
    gradient = make_gradient(prior, "float64")
    problem = *problem[:3], gradient
    target = tf.constant(rng.normal(size=problem[0].shape))
    solve(solver, *problem)
    weights = [*solver.trainable_variables, *gradient.trainable_variables]
    shapes = [tuple(weight.shape) for weight in weights]
    sizes = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]

    @tf.function
    def loss():
        return tf.reduce_mean(tf.square(solve(solver, *problem) - target))

    def loss_at(values):
        for weight, value, shape in zip(weights, np.split(values, sizes), shapes, strict=True):
            weight.assign(value.reshape(shape))
        return loss()

    start = np.concatenate([np.ravel(weight) for weight in weights])
    with tf.GradientTape() as tape:
        value = loss()
    gradients = np.concatenate([np.ravel(g) for g in tape.gradient(value, weights)])
    for _ in range(4):
        direction = rng.normal(size=start.shape)
        # So short a step that no ReLU of the prior switches: the cost's gradient jumps there.
        expected = directional_derivative(loss_at, start, direction, step=1e-7)
        np.testing.assert_allclose(gradients @ direction, expected, rtol=1e-6)


@pytest.mark.long
@pytest.mark.parametrize("cell", [LSTMCell, ConvCell])
def test_recomputing_gives_the_same_states_and_gradients(cell, problem):
    results = []
    solver = make_solver(cell(dtype="float64"), dtype="float64", iterations=6)
    solve(solver, *problem)
    for recompute in (False, True):
        twin = GradientSolver.from_config({**solver.get_config(), "recompute": recompute})
        twin.build(problem[0].shape)
        twin.set_weights(solver.get_weights())

        @tf.function
        def gradients(first_guess, twin=twin):
            with tf.GradientTape() as tape:
                tape.watch(first_guess)
                state = solve(twin, first_guess, *problem[1:])
                loss = tf.reduce_mean(tf.square(state))
            learned = [*twin.trainable_variables, *problem[-1].trainable_variables]
            return state, tape.gradient(loss, [first_guess, *learned])

        state, found = gradients(problem[0])
        results.append([state, *found])
    for ordinary, recomputed in zip(*results, strict=True):
        np.testing.assert_allclose(recomputed, ordinary, rtol=1e-9, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("settings", [{}, {"recompute": True}])
@pytest.mark.parametrize("windows", [1, 5])
def test_micro_batches_give_the_same_states_and_gradients(settings, windows, rng):
    problem = [rng.normal(size=(windows, 9, 3)) for _ in range(2)]
    problem.append((rng.random((windows, 9, 3)) < 0.4).astype("float64"))
    problem.append(make_gradient(dtype="float64"))
    whole = make_solver(LSTMCell(dtype="float64"), dtype="float64", iterations=3, **settings)
    solve(whole, *problem)
    parts = GradientSolver.from_config({**whole.get_config(), "micro_batches": 2})
    parts.build(problem[0].shape)
    parts.set_weights(whole.get_weights())
    results = []
    for solver in (whole, parts):

        @tf.function
        def gradients(solver=solver):
            with tf.GradientTape() as tape:
                state = solve(solver, *problem)
                loss = tf.reduce_mean(tf.square(state))
            learned = [*solver.trainable_variables, *problem[-1].trainable_variables]
            return state, tape.gradient(loss, learned)

        state, found = gradients()
        results.append([state, *found])
    for expected, found in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("wrong", [0, 1.5])
def test_micro_batches_that_are_no_count_are_refused(wrong):
    with pytest.raises(ValueError, match="expected an integer"):
        make_solver(micro_batches=wrong)


def test_a_single_window_in_micro_batches_is_solved(problem):
    # In float32, since there an empty convolution fails.
    whole = make_solver(LSTMCell(), iterations=2)
    window = [tf.cast(values[:1], tf.float32) for values in problem[:3]]
    window.append(make_gradient())
    expected = solve(whole, *window)
    parts = GradientSolver.from_config({**whole.get_config(), "micro_batches": 2})
    parts.build(window[0].shape)
    parts.set_weights(whole.get_weights())
    np.testing.assert_array_equal(tf.function(lambda: solve(parts, *window))(), expected)


@pytest.mark.parametrize("wrong", [{"recompute": True}, {"micro_batches": 2}])
def test_recomputing_and_micro_batches_are_for_loops_alone(wrong):
    with pytest.raises(ValueError, match="expected unroll=False"):
        make_solver(unroll=True, **wrong)


def test_float32_is_close_to_float64_after_twenty_iterations(problem):
    reference = make_solver(dtype="float64", iterations=20)
    expected = solve(reference, *problem)
    single = make_solver(dtype="float32", iterations=20)
    single.build(problem[0].shape)
    single.set_weights(reference.get_weights())
    *data, precise = problem
    gradient = make_gradient()
    gradient.build(problem[0].shape)
    gradient.set_weights(precise.get_weights())
    found = solve(single, *(tf.cast(values, tf.float32) for values in data), gradient)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found / scale, expected / scale, atol=1e-4)


def test_a_zero_gradient_is_no_division_by_zero():
    nothing = np.zeros((2, 5, 3), "float32")
    solver, descent = make_solver(), make_gradient(RK4Flow(Lorenz63ODE(), 0.01))
    with tf.GradientTape() as tape:
        state = solve(solver, nothing, nothing, nothing, descent)
    assert np.isfinite(state).all()
    learned = [*solver.trainable_variables, *descent.trainable_variables]
    for gradient in tape.gradient(state, learned):
        assert gradient is None or np.isfinite(gradient).all()


@keras.saving.register_keras_serializable(package="tests")
class Solved(keras.layers.Layer):
    """A solver and the gradient that it is given."""

    def __init__(self, solver, gradient, **kwargs):
        super().__init__(**kwargs)
        self.solver = solver
        self.gradient = gradient

    def build(self, state_shape, *_):
        for layer in (self.solver, self.gradient):
            build_once(layer, state_shape)

    def call(self, state, observations, mask):
        return solve(self.solver, state, observations, mask, self.gradient)

    def get_config(self):
        parts = {"solver": self.solver, "gradient": self.gradient}
        serialised = {n: keras.saving.serialize_keras_object(each) for n, each in parts.items()}
        return super().get_config() | serialised

    @classmethod
    def from_config(cls, config):
        return cls(**held_layers(config))


def test_layer(rng, tmp_path):
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    mask = (rng.random(x.shape) < 0.4).astype("float32")
    for cell in (LSTMCell(), ConvCell()):
        layer = Solved(make_solver(cell, iterations=3), make_gradient())
        check_layer(layer, x, x * mask, mask, tmp_path=tmp_path)
