"""Trained models as ONNX files, each compared with its model before it is kept."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tf4dvar.errors import InputError, first_line
from tf4dvar.export.formats import ExportFormat
from tf4dvar.systems.axes import axes_but

if TYPE_CHECKING:
    from tf4dvar.models import FourDVarNet

FILE = "model.onnx"
OPSET = 18
# Of the largest difference to the model's own state, in deviations of each component, beside that
# of a first guess.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ONNX(ExportFormat):
    """A file for ONNX Runtime and Triton.

    `model.onnx` has the description among its metadata (`card`). It takes `observations` and
    returns `state`, shaped as by `SavedModel`, with K of the model as it is now; of a model with an
    `uncertainty` it takes `noise_variance`, too, and returns `std`. ONNX has no assertions: the
    state of a window with an infinite observation is NaN. A model that does not convert, or a file
    whose states are not the model's, is refused.
    """

    name = "onnx"
    needs = ("tf2onnx", "onnxruntime")

    def write(self, model, folder, card):
        """The file; the card says what it takes and returns."""
        from tf4dvar.export.card import signature_card

        card |= {"file": FILE, **signature_card(model, card, _inputs(model), _outputs(model))}
        content = _converted(model, card)
        _check(content, model)
        (folder / FILE).write_bytes(content)


def _inputs(model: "FourDVarNet") -> list[str]:
    return ["observations"] if model.uncertainty is None else ["observations", "noise_variance"]


def _outputs(model: "FourDVarNet") -> list[str]:
    return ["state"] if model.uncertainty is None else ["state", "std"]


def _converted(model: "FourDVarNet", card: dict[str, Any]) -> bytes:
    import onnx
    import tensorflow as tf
    import tf2onnx

    from tf4dvar.export.onnx_operations import HANDLERS
    from tf4dvar.models import twin
    from tf4dvar.models.saved_model import input_specs, silent

    looped = twin(model, model.solver.for_inference())

    names, outputs = _inputs(model), _outputs(model)

    @tf.function(autograph=False)
    def reconstruct(*inputs):
        given = dict(zip(names, inputs, strict=True))
        found = (looped(given),) if model.uncertainty is None else looped.posterior_of(given)
        infinite = tf.math.is_inf(given["observations"])
        infinite = tf.reduce_any(infinite, axes_but(0, infinite), keepdims=True)
        return {
            name: tf.where(infinite, np.nan, tf.cast(values, tf.float32))
            for name, values in zip(outputs, found, strict=True)
        }

    try:
        with silent("tf2onnx"):
            converted, _ = tf2onnx.convert.from_function(
                reconstruct,
                input_signature=[input_specs(model)[name] for name in names],
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
    _let_zeros_copy(converted.graph)
    onnx.helper.set_model_props(converted, {"card": json.dumps(card)})
    return converted.SerializeToString()


def _check(content: bytes, model: "FourDVarNet") -> None:
    """Refuse a file whose states are not the model's."""
    import onnxruntime

    from tf4dvar.layers.contracts import FirstGuess, trait

    tolerance = TOLERANCE + trait(model.first_guess, FirstGuess, "tolerance")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is told by the exception
    try:
        session = onnxruntime.InferenceSession(content, options)
        for observations in _windows(model):
            given = _given(model, observations)
            found = session.run(_outputs(model), given)
            for name, values, expected in zip(
                _outputs(model), found, _expected(model, given), strict=True
            ):
                difference = np.abs(values - expected) / model.normalisation.std.numpy()
                # Both NaN, where the solver diverges, is agreement.
                differs = ~(difference <= tolerance) & ~(np.isnan(values) & np.isnan(expected))
                if differs.any():
                    raise _refusal(
                        model,
                        f"in windows of shape {observations.shape} the {name} differs by up to "
                        f"{np.max(difference, where=differs, initial=0):.1e} deviations",
                    )
    except InputError:
        raise
    except Exception as error:
        raise _refusal(
            model, f"onnxruntime ends with {type(error).__name__}: {first_line(error)}"
        ) from error


def _given(model: "FourDVarNet", observations: np.ndarray) -> dict[str, np.ndarray]:
    """Of a model with an `uncertainty` with the noise of every other time."""
    if model.uncertainty is None:
        return {"observations": observations}
    variance = np.full(observations.shape, np.nan, "float32")
    variance[:, ::2] = np.nan if model.noise_variance is None else 2.0
    return {"observations": observations, "noise_variance": variance}


def _expected(model: "FourDVarNet", given: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
    if model.uncertainty is None:
        return (model.predict(given["observations"], verbose=0),)
    return model.posterior(given, warnings=False)


def _windows(model: "FourDVarNet") -> Iterator[np.ndarray]:
    """Windows of several lengths: with gaps, not observed at all, and wholly.

    They are of what the model makes of waves: of a state that no dynamics would pass through it
    may make this or that, by the last digit.
    """
    rng = np.random.default_rng(0)
    *space, components = model.observations_shape[2:]
    places = np.indices(space).sum(axis=0)[..., None] / 5 if space else 0.0
    normalisation = model.observation_normalisation()
    mean, deviation = normalisation.mean.numpy(), normalisation.std.numpy()
    for batch, steps, share in ((3, 50, 0.3), (1, 40, 0.0), (2, 17, 1.0), (1, 2, 0.5)):
        phase = rng.uniform(0, 2 * np.pi, (batch, 1, *[1 for _ in space], components))
        times = np.arange(steps).reshape(-1, *[1] * (phase.ndim - 2))
        wave = mean + deviation * np.sin(times / 5 + places + phase)
        state = model.normalisation(_expected(model, _given(model, wave.astype("float32")))[0])
        seen = state if model.operator is None else model.operator(state)
        seen = normalisation.inverse(seen).numpy()
        yield np.where(rng.random(wave.shape) < share, seen, np.nan).astype("float32")


def _refusal(model: "FourDVarNet", reason: str) -> InputError:
    from tf4dvar.layers.adjoint import has_adjoint
    from tf4dvar.layers.several_priors import names_of

    operators = [] if model.operator is None else model.operator.operators
    hint = "".join(
        f" {type(layer).__name__} is differentiated automatically, and such gradients seldom "
        "convert: give it a method `with_adjoint`, see tf4dvar.layers.adjoint."
        for layer in (*model.priors, *operators)
        if not has_adjoint(layer)
    )
    return InputError(
        f"The model with the prior {names_of(model.priors)} and the update "
        f"{model.solver.method} does not convert to ONNX: {reason}.{hint} Export a "
        "SavedModel instead."
    )


def _let_zeros_copy(graph: Any) -> None:
    """Let a zero of a constant shape mean the old size, where all others mean zero.

    There it is tf2onnx that has put it in place of a size that is not known: its optimiser does
    not look at `allowzero`, which `onnx_operations.reshape` sets.
    """
    from onnx import numpy_helper

    constants = {
        each.name: numpy_helper.to_array(each)
        for inner in _graphs(graph)
        for each in inner.initializer
    }
    for node in _nodes(graph):
        if node.op_type == "Reshape" and 0 in constants.get(node.input[1], ()):
            kept = [each for each in node.attribute if each.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)


def _nodes(graph: Any) -> Iterator[Any]:
    """The nodes of a graph, and of the graphs within them."""
    for inner in _graphs(graph):
        yield from inner.node


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph, and those within its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
