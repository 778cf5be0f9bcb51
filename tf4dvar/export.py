"""Trained models as SavedModels, which need TensorFlow and nothing of this package."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf

from tf4dvar.experiments import experiment_by_name
from tf4dvar.models import FourDVarNet
from tf4dvar.systems import system_by_name
from tf4dvar.training.run_directory import RunDirectory
from tf4dvar.version_directory import VersionDirectory

# More than any training asks for: a request of more is a mistake, and would hold a server up.
MAX_ITERATIONS = 1000
PACKAGES = ("tf4dvar", "tensorflow", "keras", "numpy")


def save(
    model: FourDVarNet,
    directory: str | Path,
    unroll: bool = False,
    description: dict[str, Any] | None = None,
) -> Path:
    """Write a model as the next version of a directory in TensorFlow Serving's layout.

    `directory/1`, the next time `directory/2`, and `directory/card.json`, which describes the
    newest. Each is a SavedModel with two signatures; observations and state are float32 [batch,
    time, component], with an observation operator the former [batch, time, observed], in physical
    units, NaN = not observed:

        serving_default(observations) -> state
        reconstruct_with(observations, iterations) -> state, cost

    `iterations` is an int32 scalar, K for this call, 0 to `MAX_ITERATIONS`; `cost` the
    variational cost of the first guess and after every iteration, [batch, iterations + 1].
    Batch and time are free. The graph itself refuses other shapes, infinite observations and
    other numbers of iterations (InvalidArgumentError).

    Args:
        model: a built model.
        directory: where to; made where it does not exist.
        unroll: write out the iterations of `serving_default`, K of the model as it is now, and
            compile them by XLA, once for every shape: for GPUs. `reconstruct_with` stays a loop.
        description: more for the card, see `description_of`.

    Returns:
        The version's directory.

    Raises:
        InputError: the directory is a file, or holds versions of another format.
    """
    card = model_card(model, "savedmodel", description)
    card |= {
        "unrolled": unroll,
        "signatures": {
            "serving_default": signature_card(model, card, ["observations"], ["state"]),
            "reconstruct_with": signature_card(
                model, card, ["observations", "iterations"], ["state", "cost"]
            ),
        },
    }
    with VersionDirectory(directory).new_version(card) as (temporary, final):
        write_saved_model(model, temporary, unroll)
    return final


def write_saved_model(model: FourDVarNet, path: str | Path, unroll: bool = False) -> None:
    """Write a SavedModel with the two signatures of `save`, without a card or versions.

    Args:
        model: a built model.
        path: the folder of the SavedModel.
        unroll: see `save`.
    """
    module = _Served(model, unroll)
    # How it names what is inside, and a directory that is going to be renamed.
    with silent("absl"), silent("tensorflow"):
        tf.saved_model.save(
            module,
            str(path),
            signatures={
                "serving_default": module.reconstruct,
                "reconstruct_with": module.reconstruct_with,
            },
            # Derivatives are for training.
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )


def twin(model: FourDVarNet, **settings: Any) -> FourDVarNet:
    """The same model with the same weights and other settings, `unroll` say.

    Args:
        model: a built model.
        **settings: arguments of `FourDVarNet` in place of the model's.
    """
    other = FourDVarNet.from_config({**model.get_config(), **settings})
    other.build((None, None, model.observed_components))
    other.set_weights(model.get_weights())
    return other


@contextmanager
def silent(name: str) -> Iterator[None]:
    """No messages of a logger: they would bury what a user must read.

    Args:
        name: of the logger.
    """
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def observations_spec(model: FourDVarNet) -> tf.TensorSpec:
    """What an exported graph takes.

    Args:
        model: a built model.
    """
    return tf.TensorSpec((None, None, model.observed_components), tf.float32, name="observations")


class _Served(tf.Module):
    """The functions that are exported, and the variables they read."""

    def __init__(self, model: FourDVarNet, unroll: bool):
        super().__init__()
        components = model.observed_components
        looped = twin(model, unroll=False, recompute=False)
        solver = twin(model, unroll=True, recompute=False, pieces=1) if unroll else looped
        # TensorFlow's own variables: Keras' around them are not restored in a session.
        self.weights = [variable.value for variable in (*looped.variables, *solver.variables)]

        # XLA leaves out assertions: they stand before what it compiles.
        @tf.function(autograph=False, jit_compile=True if unroll else None)
        def solve(observations):
            return tf.cast(solver(observations), tf.float32)

        @tf.function(input_signature=[observations_spec(model)], autograph=False)
        def reconstruct(observations):
            return {"state": solve(_checked(observations, components))}

        @tf.function(
            input_signature=[
                observations_spec(model),
                tf.TensorSpec((), tf.int32, name="iterations"),
            ],
            autograph=False,
        )
        def reconstruct_with(observations, iterations):
            observations = _checked(observations, components)
            with tf.control_dependencies([_iterations_are_possible(iterations)]):
                iterations = tf.identity(iterations)
            states, costs = looped.pathway(observations, iterations, every_state=False)
            return {"state": tf.cast(states[-1], tf.float32), "cost": tf.transpose(costs)}

        self.reconstruct = reconstruct
        self.reconstruct_with = reconstruct_with


def _checked(observations, components):
    """The observations, refused where their shape is another or one of them is infinite."""
    # The shape that the signature declares is a promise: a server in C++ feeds what it received.
    # Hidden, it is read when the graph runs, not taken as declared.
    received = tf.raw_ops.PlaceholderWithDefault(input=observations, shape=None)
    shape = tf.shape(received)
    fits = tf.equal(tf.size(shape), 3)
    fits = tf.logical_and(fits, tf.reduce_all(shape > 0))
    fits = tf.logical_and(fits, tf.reduce_all(tf.equal(shape[-1:], components)))
    expected = f"; expected [batch, time, {components}], none of them empty"
    checks = [
        tf.debugging.Assert(fits, ["Received observations of shape", shape, expected]),
        tf.debugging.Assert(
            tf.reduce_all(~tf.math.is_inf(received)),
            ["Received infinite observations; mark a missing value with NaN."],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.ensure_shape(tf.identity(received), (None, None, components))


def _iterations_are_possible(iterations):
    return tf.debugging.Assert(
        tf.logical_and(iterations >= 0, iterations <= MAX_ITERATIONS),
        ["Received iterations", iterations, f"; expected 0 to {MAX_ITERATIONS}"],
    )


def model_card(
    model: FourDVarNet, form: str, description: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is known of a model that is exported.

    Args:
        model: a built model.
        form: "savedmodel" or "onnx".
        description: see `save`.
    """
    return {
        "format": form,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": {name: version(name) for name in PACKAGES},
        "prior": type(model.prior).__name__,
        "update": type(model.solver.cell).__name__,
        "first_guess": type(model.first_guess).__name__,
        "iterations": model.iterations,
        "parameters": sum(int(weight.numpy().size) for weight in model.trainable_variables),
        "components": None,
        "units": "as in training",
        "source": None,
        **(description or {}),
    }


def description_of(path: str | Path) -> dict[str, Any]:
    """What the place of a model tells about it: `source`, names of `components`, `units`.

    Args:
        path: a run directory, its model, or any other `.keras` file.
    """
    path = Path(path)
    run = RunDirectory(path if path.is_dir() else path.parent)
    if path not in (run.path, run.model) or not run.config.is_file():
        return {"source": {"path": str(path)}}
    options = run.options()
    system = system_by_name(experiment_by_name(options["experiment"]).system)
    return {
        "components": list(system.components),
        "units": system.units,
        "source": {"path": str(path), "training": options},
    }


def signature_card(
    model: FourDVarNet, card: dict[str, Any], inputs: list[str], outputs: list[str]
) -> dict[str, Any]:
    """Names, shapes, dtypes and units of what an exported graph takes and returns.

    Args:
        model: a built model.
        card: of `model_card`, for the units.
        inputs, outputs: names of the tensors.
    """
    state = {
        "dtype": "float32",
        "shape": [None, None, model.scaling.mean.shape[0]],
        "axes": ["batch", "time", "component"],
        "units": card["units"],
    }
    observations = state
    if model.operator is not None:
        observations = {
            **state,
            "shape": [None, None, model.observed_components],
            "axes": ["batch", "time", "observed"],
            "units": "of what the observation operator returns",
        }
    tensors = {
        "observations": {**observations, "missing": "NaN"},
        "state": state,
        "iterations": {"dtype": "int32", "shape": [], "range": [0, MAX_ITERATIONS]},
        "cost": {
            "dtype": "float32",
            "shape": [None, None],
            "axes": ["batch", "iterations + 1"],
            "units": "1, of the normalised state",
        },
    }
    return {
        "inputs": {name: tensors[name] for name in inputs},
        "outputs": {name: tensors[name] for name in outputs},
    }
