"""Trained models as ONNX files, each compared with its model before it is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tf4dvar.axes import axes_but
from tf4dvar.errors import InputError, first_line
from tf4dvar.export.saved_model import model_card, signature_card
from tf4dvar.layers.adjoint import has_adjoint
from tf4dvar.models import FourDVarNet, twin
from tf4dvar.models.saved_model import observations_spec, silent
from tf4dvar.storage.version_directory import VersionDirectory

FILE = "model.onnx"
OPSET = 18
# Of the largest difference to the model's own state, in deviations of each component.
TOLERANCE = 1e-4


def save_onnx(
    model: FourDVarNet, directory: str | Path, description: dict[str, Any] | None = None
) -> Path:
    """Write a model as the next version of a directory in Triton's layout.

    `directory/1/model.onnx`, the next time `directory/2/model.onnx`, and `directory/card.json`,
    which describes the newest; the file has the same description among its metadata (`card`).
    It takes `observations` and returns `state`, shaped as by `tf4dvar.export.save`, with K of the
    model as it is now. ONNX has no assertions: the state of a window with an infinite
    observation is NaN.

    Args:
        model: a built model.
        directory: where to; made where it does not exist.
        description: more for the card, see `tf4dvar.export.saved_model.description_of`.

    Returns:
        The version's directory.

    Raises:
        InputError: as for `tf4dvar.export.save`; tf2onnx or onnxruntime is not installed; the
            model does not convert, or the file's states are not the model's. Nothing is left.
    """
    card = model_card(model, "onnx", description)
    card |= {"file": FILE, **signature_card(model, card, ["observations"], ["state"])}
    with VersionDirectory(directory).new_version(card) as (temporary, final):
        content = _converted(model, card)
        _check(content, model)
        (temporary / FILE).write_bytes(content)
    return final


def _converted(model: FourDVarNet, card: dict[str, Any]) -> bytes:
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import tf2onnx

        from tf4dvar.export.onnx_operations import HANDLERS
    except ImportError as error:
        raise InputError(
            f"ONNX needs {error.name}, which is not installed: "
            "pip install '.[onnx]' in a checkout of tf4dvar."
        ) from error

    looped = twin(model, unroll=False, recompute=False, pieces=1)

    @tf.function(autograph=False)
    def reconstruct(observations):
        infinite = tf.math.is_inf(observations)
        infinite = tf.reduce_any(infinite, axes_but(0, infinite), keepdims=True)
        return {"state": tf.where(infinite, np.nan, tf.cast(looped(observations), tf.float32))}

    try:
        with silent("tf2onnx"):
            converted, _ = tf2onnx.convert.from_function(
                reconstruct,
                input_signature=[observations_spec(model)],
                opset=OPSET,
                custom_op_handlers=HANDLERS,
            )
    except Exception as error:  # it raises what it comes upon
        raise _refusal(
            model, f"tf2onnx ends with {type(error).__name__}: {first_line(error)}"
        ) from error
    unknown = sorted(
        {
            node.op_type
            for node in _nodes(converted.graph)
            if not onnx.defs.has(node.op_type, node.domain)
        }
    )
    if unknown:
        raise _refusal(model, f"there is nothing in ONNX for {', '.join(unknown)}")
    onnx.helper.set_model_props(converted, {"card": json.dumps(card)})
    return converted.SerializeToString()


def _check(content: bytes, model: FourDVarNet) -> None:
    """Refuse a file whose states are not the model's."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told by the exception
    try:
        session = onnxruntime.InferenceSession(content, options)
        for observations in _windows(model):
            (state,) = session.run(["state"], {"observations": observations})
            expected = model.predict(observations, verbose=0)
            difference = np.abs(state - expected) / model.scaling.deviation.numpy()
            # Both NaN, where the solver diverges, is agreement.
            differs = ~(difference <= TOLERANCE) & ~(np.isnan(state) & np.isnan(expected))
            if differs.any():
                raise _refusal(
                    model,
                    f"in windows of shape {observations.shape} the state differs by up to "
                    f"{np.max(difference, where=differs, initial=0):.1e} deviations",
                )
    except InputError:
        raise
    except Exception as error:
        raise _refusal(
            model, f"onnxruntime ends with {type(error).__name__}: {first_line(error)}"
        ) from error


def _windows(model: FourDVarNet) -> Iterator[np.ndarray]:
    """Waves about the mean of several lengths: with gaps, not observed at all, and wholly."""
    rng = np.random.default_rng(0)
    scaling = model.observation_scaling()
    mean, deviation = scaling.mean.numpy(), scaling.deviation.numpy()
    for batch, steps, share in ((3, 50, 0.3), (1, 40, 0.0), (2, 17, 1.0), (1, 2, 0.5)):
        phase = rng.uniform(0, 2 * np.pi, (batch, 1, model.observed_components))
        wave = mean + deviation * np.sin(np.arange(steps)[:, np.newaxis] / 5 + phase)
        yield np.where(rng.random(wave.shape) < share, wave, np.nan).astype("float32")


def _refusal(model: FourDVarNet, reason: str) -> InputError:
    prior = type(model.prior).__name__
    operators = [] if model.operator is None else model.operator.operators
    hint = "".join(
        f" {type(layer).__name__} is differentiated automatically, and such gradients seldom "
        "convert: give it a method `with_adjoint`, see tf4dvar.layers.adjoint."
        for layer in (model.prior, *operators)
        if not has_adjoint(layer)
    )
    return InputError(
        f"The model with the prior {prior} and the update {type(model.solver.cell).__name__} "
        f"does not convert to ONNX: {reason}.{hint} Export a SavedModel instead."
    )


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and of the graphs within them."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
