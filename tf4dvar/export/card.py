"""What is known of a model that is exported."""

import time
from pathlib import Path
from typing import Any

from tf4dvar.data.fields import FIELDS
from tf4dvar.experiments import Experiment, experiment_by_name
from tf4dvar.layers.several_priors import names_of
from tf4dvar.models import FourDVarNet
from tf4dvar.models.saved_model import MAX_ITERATIONS
from tf4dvar.runtime import versions
from tf4dvar.systems import system_by_name
from tf4dvar.training.run_directory import RunDirectory


def model_card(
    model: FourDVarNet, form: str, description: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What is known of a model that is exported.

    Args:
        model: a built model.
        form: name of the format.
        description: see `tf4dvar.export.save`.
    """
    return {
        "format": form,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "packages": versions(),
        "prior": names_of(model.priors),
        "update": model.solver.method,
        "first_guess": type(model.first_guess).__name__,
        "iterations": model.iterations,
        "parameters": sum(int(weight.numpy().size) for weight in model.trainable_variables),
        "components": None,
        "units": "as in training",
        "source": None,
        "trained_on": model.signature and model.signature.to_json(),
        "observation": None if model.operator is None else names_of(model.operator.operators),
        "noise_variance": model.noise_variance,
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
    if "experiment" not in options:  # what the data were is in the model's signature
        return {"source": {"path": str(path), "training": options}}
    return {
        **components_of(experiment_by_name(options["experiment"])),
        "source": {"path": str(path), "training": options},
    }


def components_of(experiment: Experiment) -> dict[str, Any]:
    """Names and units of an experiment's `components`; of fields they are in the signature.

    Args:
        experiment: it.
    """
    if experiment.system in FIELDS:
        return {}
    system = system_by_name(experiment.system)
    return {"components": list(system.components), "units": system.units}


def length_of(training: dict[str, Any]) -> str:
    """The option of `tf4dvar train` that says how long a training was.

    Args:
        training: what it was asked.
    """
    minutes = training["minutes"]
    return f"--epochs {training['epochs']}" if minutes is None else f"--minutes {minutes:g}"


def signature_card(
    model: FourDVarNet, card: dict[str, Any], inputs: list[str], outputs: list[str]
) -> dict[str, Any]:
    """Names, shapes, dtypes and units of what an exported graph takes and returns.

    Args:
        model: a built model.
        card: of `model_card`, for the units.
        inputs, outputs: names of the tensors.
    """
    places = model.observations_shape[:-1]
    space = [f"space {axis}" for axis in range(1, len(places) - 1)]

    def tensor(size: int, axis: str, units: str) -> dict[str, Any]:
        axes = ["batch", "time", *space, axis]
        return {"dtype": "float32", "shape": [*places, size], "axes": axes, "units": units}

    state = tensor(model.normalisation.mean.shape[0], "component", card["units"])
    observations = state
    if model.operator is not None:
        units = "of what the observation operator returns"
        observations = tensor(model.observed_components, "observed", units)
    tensors = {
        "observations": {**observations, "missing": "NaN"},
        "noise_variance": {**observations, "units": "of observations, squared", "missing": "NaN"},
        "background": {**state, "missing": "NaN"},
        "covariates": tensor(model.covariates, "covariate", "as in training"),
        "land": {
            "dtype": "float32",
            "shape": [places[0], *places[2:]],
            "axes": ["batch", *space],
            "units": "1 on land, 0 at sea",
        },
        "state": state,
        "std": state,
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
