"""Networks from files of arrays, against NumPy alone."""

import numpy as np
import pytest
from typer.testing import CliRunner

from tf4dvar.cli.app import app
from tf4dvar.errors import InputError
from tf4dvar.models import load_model
from tf4dvar.models.plain_arrays import GENN, LSTM, NUMBERS, model_from_arrays
from tf4dvar.systems import Lorenz96

COMPONENTS, TIMES = 6, 9
SIZES = {"k": 3, "u": 2, "n": 3, "s": 4, "1 + u": 3, "4 u": 8}
MEAN, SCALE = 2.3, 4.3


@pytest.fixture
def arrays(rng):
    """All of them, with random weights."""
    shapes = {name: tuple(SIZES[axis] for axis in axes) for name, axes in {**LSTM, **GENN}.items()}
    drawn = {name: 0.4 * rng.normal(size=shape) for name, shape in shapes.items()}
    numbers = dict(zip(NUMBERS, (MEAN, SCALE, 0.7, 1.4), strict=True))
    return {**drawn, **numbers, "iterations": 3}


def known(arrays):
    return {name: of for name, of in arrays.items() if name not in GENN}


def written(arrays, tmp_path):
    file = tmp_path / "weights.npz"
    np.savez(file, **arrays)
    return file


def convolved(values, kernel):
    """[time, component, channel], zero before and after, a circle of components."""
    half = len(kernel) // 2
    padded = np.pad(values, ((half, half), (0, 0), (0, 0)))
    out = np.zeros((*values.shape[:2], kernel.shape[-1]))
    for time in range(len(kernel)):
        for place in range(len(kernel)):
            moved = np.roll(padded, half - place, axis=1)[time : time + len(values)]
            out += moved @ kernel[time, place]
    return out


def block(values, of, scale):
    """One scale of GENN, before its readout."""
    hidden = np.maximum(convolved(values, of[f"{scale}_kernel"][:, :, None]), 0)
    hidden = hidden @ of[f"{scale}_narrow"]
    product = (hidden @ of[f"{scale}_left"]) * (hidden @ of[f"{scale}_right"])
    linear = hidden @ of[f"{scale}_linear"]
    return linear @ of[f"{scale}_out_linear"] + product @ of[f"{scale}_out_product"]


def genn(state, of):
    """Phi, of one window [time, component]."""
    size = of["up"].shape[0]
    long = np.concatenate([state, np.repeat(state[-1:], -len(state) % size, axis=0)])
    means = long.reshape(-1, size, state.shape[1]).mean(axis=1)
    coarse = block(means[..., None], of, "coarse")
    up = np.stack([coarse @ each for each in of["up"]], axis=1)
    up = up.reshape(-1, *up.shape[2:])[: len(state)]
    return (up + block(state[..., None], of, "fine")) @ of["out"]


def cost(state, values, seen, of):
    """Eq. 4, its terms averaged."""
    if "out" in of:
        residual = state - genn(state, of)
    else:
        step = Lorenz96().step(MEAN + SCALE * state[:-1])
        residual = np.zeros_like(state)
        residual[1:] = state[1:] - (step - MEAN) / SCALE
    misfit = np.where(seen, state - values, 0.0)
    return (
        of["alpha_observation"] ** 2 * np.square(misfit).sum() / seen.sum()
        + of["alpha_prior"] ** 2 * np.square(residual).mean()
    )


def slope(state, *rest):
    """Of the cost, by central differences."""
    found = np.zeros_like(state)
    for entry in np.ndindex(state.shape):
        step = np.zeros_like(state)
        step[entry] = 1e-6
        found[entry] = (cost(state + step, *rest) - cost(state - step, *rest)) / 2e-6
    return found


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def reconstructed(observations, of):
    """One window, [time, component], physical units."""
    seen = ~np.isnan(observations)
    state = np.zeros_like(observations)
    times = np.arange(len(observations))
    for place in range(observations.shape[1]):
        at = np.flatnonzero(seen[:, place])
        if at.size:
            given = observations[at, place]
            state[:, place] = np.interp(times, at, given, left=0.0, right=0.0)
    state = (state - MEAN) / SCALE
    values = np.where(seen, (observations - MEAN) / SCALE, 0.0)
    hidden = cell = np.zeros((*state.shape, of["increment"].size))
    norm = None
    for _ in range(of["iterations"]):
        gradient = slope(state, values, seen, of)
        norm = np.sqrt(np.square(gradient).mean()) if norm is None else norm
        entered = np.concatenate([gradient[..., None] / norm, hidden], axis=-1)
        gates = convolved(entered, of["gates_kernel"]) + of["gates_bias"]
        entry, forget, output, candidate = np.split(gates, 4, axis=-1)
        cell = sigmoid(forget) * cell + sigmoid(entry) * np.tanh(candidate)
        hidden = sigmoid(output) * np.tanh(cell)
        state = state - hidden @ of["increment"]
    return MEAN + SCALE * state


@pytest.fixture
def observations(rng):
    """Two windows, a component of one without observations."""
    values = MEAN + SCALE * rng.normal(size=(2, TIMES, COMPONENTS))
    values[rng.random(values.shape) < 0.6] = np.nan
    values[0, :, 2] = np.nan
    return values


@pytest.mark.parametrize("part", [dict, known], ids=["genn", "known dynamics"])
def test_states_are_those_of_numpy(part, arrays, observations, tmp_path):
    of = part(arrays)
    model = model_from_arrays(written(of, tmp_path), COMPONENTS, "float64")
    expected = np.stack([reconstructed(each, of) for each in observations])
    assert model.iterations == 3
    np.testing.assert_allclose(model.predict(observations, verbose=0), expected, atol=1e-5)


def test_a_model_is_of_any_number_of_components_and_can_be_saved(arrays, tmp_path):
    model = model_from_arrays(written(arrays, tmp_path), 8)
    given = np.full((1, 5, 8), np.nan, "float32")
    given[:, ::2, ::3] = 1.0
    model.save(tmp_path / "model.keras")
    again = load_model(tmp_path / "model.keras").predict(given, verbose=0)
    np.testing.assert_array_equal(again, model.predict(given, verbose=0))


def test_the_command_writes_a_model(arrays, tmp_path):
    file, out = written(arrays, tmp_path), tmp_path / "model.keras"

    def convert(*arguments):
        return CliRunner().invoke(app, ["convert", str(file), *map(str, arguments)])

    assert convert("--out", tmp_path / "model").exit_code == 2
    assert convert("--out", out, "--components", COMPONENTS).exit_code == 0
    assert load_model(out).iterations == 3
    refused = convert("--out", out)
    assert refused.exit_code == 2
    assert "exists and is left as it is; --force" in refused.stderr


def without(arrays, name):
    return {each: of for each, of in arrays.items() if each != name}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda of: without(of, "gates_bias"), "without gates_bias"),
        (lambda of: without(of, "fine_left"), "without fine_left"),
        (lambda of: {**of, "biases": 1.0}, "'biases' beside"),
        (lambda of: {**of, "up": of["up"][0]}, r"up of shape \(3, 3\); expected \(3, 3, 3\)"),
        (lambda of: {**of, "gates_kernel": 1.0}, r"gates_kernel of shape \(\); expected"),
        (lambda of: {**of, "increment": np.full(2, np.nan)}, "increment with a value"),
        (lambda of: {**of, "scale": 0.0}, "scale=0.0; expected a positive"),
    ],
)
def test_other_arrays_are_refused(change, message, arrays, tmp_path):
    with pytest.raises(InputError, match=message):
        model_from_arrays(written(change(arrays), tmp_path), COMPONENTS)


def test_another_file_is_refused(tmp_path):
    (tmp_path / "weights.npz").write_text("nothing")
    with pytest.raises(InputError, match="is no archive of arrays"):
        model_from_arrays(tmp_path / "weights.npz")
