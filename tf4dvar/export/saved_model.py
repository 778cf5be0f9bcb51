"""Trained models as SavedModels, which need TensorFlow and nothing of this package."""

import time
from pathlib import Path
from typing import Any

from tf4dvar.experiments import experiment_by_name
from tf4dvar.models import FourDVarNet
from tf4dvar.models.saved_model import MAX_ITERATIONS, input_specs, write_saved_model
from tf4dvar.runtime import versions
from tf4dvar.storage.version_directory import VersionDirectory
from tf4dvar.systems import system_by_name
from tf4dvar.training.run_directory import RunDirectory


def save(
    model: FourDVarNet,
    directory: str | Path,
    unroll: bool = False,
    description: dict[str, Any] | None = None,
) -> Path:
    """Write a model as the next version of a directory in TensorFlow Serving's layout.

    `directory/1`, the next time `directory/2`, and `directory/card.json`, which describes the
    newest. Each is a SavedModel with three signatures; observations and state are float32 [batch,
    time, component], with an observation operator the former [batch, time, observed], in physical
    units, NaN = not observed:

        serving_default(observations) -> state
        reconstruct_with(observations, iterations) -> state, cost
        reconstruct_given(observations, noise_variance, background) -> state

    All take `covariates` too, if the model does. `noise_variance` and `background` are as for the
    call of `FourDVarNet`, NaN where they are not known.

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
    specs = input_specs(model)
    needed = [name for name in specs if name in ("observations", "covariates")]
    signatures = {
        "serving_default": (needed, ["state"]),
        "reconstruct_with": ([*needed, "iterations"], ["state", "cost"]),
        "reconstruct_given": (list(specs), ["state"]),
    }
    card |= {
        "unrolled": unroll,
        "signatures": {
            name: signature_card(model, card, *tensors) for name, tensors in signatures.items()
        },
    }
    with VersionDirectory(directory).new_version(card) as (temporary, final):
        write_saved_model(model, temporary, unroll)
    return final


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
        "packages": versions(),
        "prior": type(model.prior).__name__,
        "update": type(model.solver.update).__name__,
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
        "noise_variance": {**observations, "units": "of observations, squared", "missing": "NaN"},
        "background": {**state, "missing": "NaN"},
        "covariates": {
            **state,
            "shape": [None, None, model.covariates],
            "axes": ["batch", "time", "covariate"],
            "units": "as in training",
        },
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
