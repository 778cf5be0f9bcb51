"""The graph that is exported: two signatures, which check what they are given."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

# More than any training asks for: a request of more is a mistake, and would hold a server up.
MAX_ITERATIONS = 1000


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
            signatures={
                "serving_default": module.reconstruct,
                "reconstruct_with": module.reconstruct_with,
            },
            # Derivatives are for training.
            options=tf.saved_model.SaveOptions(experimental_custom_gradients=False),
        )


def twin(model: keras.Model, **settings: Any) -> keras.Model:
    """The same model with the same weights and other settings, for example `unroll`.

    Args:
        model: a built `FourDVarNet`.
        **settings: arguments of `FourDVarNet` in place of the model's.
    """
    other = type(model).from_config({**model.get_config(), **settings})
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


def observations_spec(model: keras.Model) -> tf.TensorSpec:
    """What an exported graph takes.

    Args:
        model: a built `FourDVarNet`.
    """
    return tf.TensorSpec((None, None, model.observed_components), tf.float32, name="observations")


class _Served(tf.Module):
    """The functions that are exported, and the variables they read."""

    def __init__(self, model: keras.Model, unroll: bool):
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
