"""What a `.keras` file may hold: looked at before Keras makes anything of it."""

import json
import math
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import keras

from tf4dvar.errors import shown

# What Keras makes of a file by its class_name; Python code and types of tensors are not among them.
VALUES = ("__tensor__", "__numpy__", "__keras_tensor__", "__bytes__", "__slice__", "__ellipsis__")
KINDS = (
    *(keras.Operation, keras.initializers.Initializer, keras.regularizers.Regularizer),
    *(keras.constraints.Constraint, keras.optimizers.Optimizer, keras.losses.Loss),
    *(keras.optimizers.schedules.LearningRateSchedule, keras.metrics.Metric, keras.DTypePolicy),
)
FUNCTIONS = (keras.activations, keras.losses, keras.metrics, keras.ops)
NAMESPACES = (
    *(keras, keras.layers, keras.initializers, keras.regularizers, keras.constraints),
    *(keras.optimizers, keras.optimizers.schedules, keras.losses, keras.metrics, keras.random),
    *(keras.dtype_policies, keras.models),
)
# What Keras says, as a warning, of a model that it cannot build, and goes on with other weights.
UNBUILT = "Model .* had a build config"
# Units, filters, iterations: what counts something in a model.
LARGEST = 2**31 - 1
LABELS = ("seed", "shared_object_id")


def load_archive(file: Path) -> Any:
    """What a `.keras` file holds, which is built and whole, and ran nothing of the file's own.

    Keras reads damaged weights without a word, imports the modules that a file names, makes
    weights of any size before it looks whether the file has them, and only warns of a model that
    it cannot build.

    Args:
        file: the `.keras` file.

    Raises:
        Exception: of many kinds, where it is damaged or hostile.
    """
    size = file.stat().st_size
    with zipfile.ZipFile(file) as archive:
        # Keras does not compress. What claims to is a bomb, or was not written by it.
        if sum(member.file_size for member in archive.infolist()) > size:
            raise zipfile.BadZipFile("its files are larger than itself")
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"its {damaged} is damaged")
        config = json.loads(archive.read("config.json"))
    _check_names(config)
    with warnings.catch_warnings(), _at_most(size):
        warnings.filterwarnings("error", UNBUILT)
        try:
            model = keras.saving.load_model(file)
        except UserWarning as warning:
            raise ValueError(
                "its parts do not fit together, or are larger than the file"
            ) from warning
    _check_built(model)
    return model


def _check_built(model: Any) -> None:
    """Refuse a layer that counts as built, as Keras has it after a `build_config` of no shapes."""
    layers = model._flatten_layers() if isinstance(model, keras.layers.Layer) else ()
    for layer in layers:
        builds = type(layer).build is not keras.layers.Layer.build
        if isinstance(layer, keras.Model) or not (builds and layer.built):
            continue
        if layer.get_build_config() is None:
            raise ValueError(f"its {type(layer).__name__} has no shape to be built for")


def _check_names(config: Any) -> None:
    """Refuse a class or function that is not a registered one, or of Keras and of a known kind."""
    known = _known_classes()
    functions = {name for space in FUNCTIONS for name in vars(space)}
    for key, node in _nodes(config):
        if isinstance(node, int) and abs(node) > LARGEST and key not in LABELS:
            raise ValueError(f"its {key} is {shown(node)}; expected {LARGEST} at most")
        if not (isinstance(node, dict) and "class_name" in node):
            continue
        name, module = node["class_name"], node.get("module")
        if name == "function":
            name = node.get("config")
            of_keras = str(module).partition(".")[0] in ("builtins", "keras")
            found = _registered(name) or (of_keras and str(name) in functions)
        else:
            found = _registered(node.get("registered_name") or name) or (
                (str(module), str(name)) in known
            )
        if not found and str(name) not in VALUES:
            raise ValueError(
                f"it names {shown(name)} of the module {shown(module)}, which is not known here: "
                "if it is yours, write @keras.saving.register_keras_serializable() above it and "
                "import its module first, in a command by --import MODULE"
            )


def _registered(name: Any) -> bool:
    return isinstance(name, str) and keras.saving.get_registered_object(name) is not None


def _known_classes() -> set[tuple[Any, Any]]:
    """Module and name of every class of a known kind that is imported already."""
    known = {
        (space.__name__.replace("keras.api", "keras"), name)
        for space in NAMESPACES
        for name, found in vars(space).items()
        if isinstance(found, type) and issubclass(found, KINDS)
    }
    classes = list(KINDS)
    while classes:
        found = classes.pop()
        known.add((found.__module__, found.__name__))
        classes += found.__subclasses__()
    return known


@contextmanager
def _at_most(weights: int) -> Iterator[None]:
    """Refuse a weight that would make them more, before memory is taken for it."""
    add_weight, left = keras.layers.Layer.add_weight, weights

    def counted(layer, shape=None, *arguments, **settings):
        nonlocal left
        left -= math.prod(shape or ())
        if left < 0:
            raise ValueError(f"it asks for more than {weights} weights, the bytes that it has")
        return add_weight(layer, shape, *arguments, **settings)

    # Keras has no place to ask: it makes all weights, then looks for them in the file.
    with mock.patch.object(keras.layers.Layer, "add_weight", counted):
        yield


def _nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """All nodes of a JSON tree with their keys, or those of the list that they are in."""
    waiting = [("", tree)]
    while waiting:
        key, node = waiting.pop()
        yield key, node
        if isinstance(node, dict):
            waiting += node.items()
        elif isinstance(node, list):
            waiting += ((key, each) for each in node)
