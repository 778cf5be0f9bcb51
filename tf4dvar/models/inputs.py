"""What a model takes: observations, and what else is known of a window, by name."""

from typing import Any

from tf4dvar.data import as_array
from tf4dvar.errors import InputError

NAMES = ("observations", "noise_variance", "background", "covariates")


def by_name(inputs: Any) -> dict[str, Any]:
    """The inputs of `FourDVarNet` by their names; observations alone need none.

    Args:
        inputs: an array, or a dict of them.
    """
    if not isinstance(inputs, dict):
        if isinstance(inputs, list | tuple):
            raise InputError(
                f"Received a {type(inputs).__name__} of {len(inputs)} inputs; expected "
                f"observations, or a dict of them and any of {', '.join(NAMES[1:])}."
            )
        return {"observations": inputs}
    unknown = sorted(map(str, inputs.keys() - {*NAMES}))
    if unknown or "observations" not in inputs:
        raise InputError(
            f"Received inputs named {', '.join(sorted(map(str, inputs)))}; expected observations, "
            f"and optionally {', '.join(NAMES[1:])}."
        )
    return {name: inputs[name] for name in NAMES if inputs.get(name) is not None}


def as_arrays(inputs: Any) -> Any:
    """The inputs, each array of them as NumPy's; a pipeline as it is.

    Args:
        inputs: of `FourDVarNet`.
    """
    if isinstance(inputs, dict | list | tuple):
        return {name: as_array(values) for name, values in by_name(inputs).items()}
    return as_array(inputs)


def observations_of(inputs: Any) -> Any:
    """The observations among the inputs; a pipeline as it is.

    Args:
        inputs: of `FourDVarNet`.
    """
    return inputs["observations"] if isinstance(inputs, dict) else inputs
