"""The graph that is exported: two signatures, which check what they are given."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tf4dvar.errors import InputError

# More than any training asks for: a request of more is a mistake, and would hold a server up.
MAX_ITERATIONS = 1000


def check_export(model: keras.Model, format: str, options: dict[str, Any]) -> None:
    """Refuse what `keras.Model.export` takes and this graph does not have.

    Args:
        model: a `FourDVarNet`.
        format, options: as they were given.
    """
    if format != "tf_saved_model" or options:
        raise InputError(
            f"Received format={format!r} and {sorted(options)}; expected tf_saved_model, which "
            "has signatures of its own. `tf4dvar.export.save` writes ONNX too; for others export "
            "the SavedModel and convert it."
        )
    if not model.built:
        raise InputError("The model has no weights yet; train it, or call `build`, first.")


def write_saved_model(model: keras.Model, path: str | Path, unroll: bool = False) -> None:
    """Write a SavedModel with the signatures of `tf4dvar.export.save`, and no card or versions.

    Args:
        model: a built `FourDVarNet`.
        path: the folder of the SavedModel.
        unroll: see `tf4dvar.export.save`.
    """
    module = _Served(model, unroll)
    # How it names what is inside, and a directory that is going to be renamed.
    with silent("absl"), silent("tensorflow"):
        tf.saved_model.save(
            module,
            str(path),
            signatures=module.functions,
            # Derivatives are for training.
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )


def twin(model: keras.Model, solver: dict[str, Any] | None = None) -> keras.Model:
    """The same model with the same weights.

    Args:
        model: a built `FourDVarNet`.
        solver: a configuration of its solver in place of the model's, with the same weights.
    """
    config = model.get_config()
    if solver is not None:
        config["solver"] = {**config["solver"], "config": solver}
    other = type(model).from_config(config)
    other.build(model.observations_shape)
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


def input_specs(model: keras.Model) -> dict[str, tf.TensorSpec]:
    """What an exported graph takes, by name: all inputs of `FourDVarNet` that the model has.

    Args:
        model: a built `FourDVarNet`.
    """
    observed = model.observed_components
    sizes = {"observations": observed, "noise_variance": observed}
    sizes["background"] = model.normalisation.mean.shape[0]
    if model.covariates:
        sizes["covariates"] = model.covariates
    batch, *_ = places = model.observations_shape[:-1]
    shapes = {name: (*places, size) for name, size in sizes.items()}
    if space := places[2:]:
        shapes["land"] = (batch, *space)
    return {name: tf.TensorSpec(of, tf.float32, name=name) for name, of in shapes.items()}


class _Served(tf.Module):
    """The functions that are exported, and the variables they read."""

    def __init__(self, model: keras.Model, unroll: bool):
        super().__init__()
        specs = input_specs(model)
        needed = [specs[name] for name in ("observations", "covariates") if name in specs]
        looped = twin(model, model.solver.for_inference())
        solver = twin(model, model.solver.for_inference(unroll)) if unroll else looped
        # TensorFlow's own variables: Keras' around them are not restored in a session.
        self.weights = [variable.value for variable in (*looped.variables, *solver.variables)]

        # XLA leaves out assertions: they stand before what it compiles.
        @tf.function(autograph=False, jit_compile=True if unroll else None)
        def solve(inputs):
            return tf.cast(solver(inputs), tf.float32)

        @tf.function(input_signature=needed, autograph=False)
        def reconstruct(*inputs):
            return {"state": solve(_checked(inputs, needed))}

        @tf.function(
            input_signature=[*needed, tf.TensorSpec((), tf.int32, name="iterations")],
            autograph=False,
        )
        def reconstruct_with(*inputs_and_iterations):
            *inputs, iterations = inputs_and_iterations
            checked = _checked(inputs, needed)
            with tf.control_dependencies([_iterations_are_possible(iterations)]):
                iterations = tf.identity(iterations)
            states, costs = looped.iterates(checked, iterations, every_state=False)
            return {"state": tf.cast(states[-1], tf.float32), "cost": tf.transpose(costs)}

        @tf.function(input_signature=[*specs.values()], autograph=False)
        def reconstruct_given(*inputs):
            return {"state": tf.cast(looped(_checked(inputs, specs.values())), tf.float32)}

        @tf.function(input_signature=[*specs.values()], autograph=False)
        def posterior(*inputs):
            mean, std = looped.posterior_of(_checked(inputs, specs.values()))
            return {"state": tf.cast(mean, tf.float32), "std": tf.cast(std, tf.float32)}

        self.functions = {
            "serving_default": reconstruct,
            "reconstruct_with": reconstruct_with,
            "reconstruct_given": reconstruct_given,
        }
        if model.uncertainty is not None:
            self.functions["posterior"] = posterior


def _checked(inputs, specs):
    """The inputs by name, refused where their shape is another or one of them is infinite."""
    return {
        spec.name: _checked_input(values, spec) for values, spec in zip(inputs, specs, strict=True)
    }


def _checked_input(values, spec):
    # The shape that the signature declares is a promise: a server in C++ feeds what it received.
    # Hidden, it is read when the graph runs, not taken as declared.
    received = tf.raw_ops.PlaceholderWithDefault(input=values, shape=None)
    shape = tf.shape(received)
    fixed = tf.constant([size or 0 for size in spec.shape])
    same_rank = tf.equal(tf.size(shape), len(spec.shape))
    fits = tf.cond(
        same_rank,
        lambda: tf.reduce_all((shape > 0) & (tf.equal(fixed, 0) | tf.equal(shape, fixed))),
        lambda: False,
    )
    axes = ("batch", *("time" if size is None else size for size in spec.shape[1:]))
    expected = f"; expected [{', '.join(map(str, axes))}], none of them empty"
    checks = [
        tf.debugging.Assert(fits, [f"Received {spec.name} of shape", shape, expected]),
        tf.debugging.Assert(
            tf.reduce_all(~tf.math.is_inf(received)),
            [f"Received infinite {spec.name}; mark a missing value with NaN."],
        ),
    ]
    with tf.control_dependencies(checks):
        return tf.ensure_shape(tf.identity(received), spec.shape)


def _iterations_are_possible(iterations):
    return tf.debugging.Assert(
        tf.logical_and(iterations >= 0, iterations <= MAX_ITERATIONS),
        ["Received iterations", iterations, f"; expected 0 to {MAX_ITERATIONS}"],
    )
