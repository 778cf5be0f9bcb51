"""Networks of Lorenz-96 in the paper's form, from a file of named arrays."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tf4dvar.errors import InputError, first_line, shown
from tf4dvar.layers import (
    GradientSolver,
    LinearInterpolation,
    Lorenz96ODE,
    LSTMCell,
    PeriodicGENN,
    RK4Flow,
)
from tf4dvar.models.fourdvarnet import FourDVarNet
from tf4dvar.systems import Lorenz96

ITERATIONS = 20
# Of numbers, then of the LSTM and of GENN with their axes: k is the width of a kernel, u and n are
# numbers of channels, s of the times that a coarse one has.
NUMBERS = ("mean", "scale", "alpha_observation", "alpha_prior")
LSTM = {
    "gates_kernel": ("k", "k", "1 + u", "4 u"),
    "gates_bias": ("4 u",),
    "increment": ("u",),
}
SCALE = {
    "kernel": ("k", "k", "n"),
    "narrow": ("n", "n"),
    "linear": ("n", "n"),
    "left": ("n", "n"),
    "right": ("n", "n"),
    "out_linear": ("n", "n"),
    "out_product": ("n", "n"),
}
GENN = {
    **{f"{scale}_{name}": axes for scale in ("fine", "coarse") for name, axes in SCALE.items()},
    "up": ("s", "n", "n"),
    "out": ("n",),
}


def model_from_arrays(
    file: str | Path, components: int = 40, dtype: str = "float32"
) -> FourDVarNet:
    """The model whose weights a `.npz` file holds.

    It is the paper's for Lorenz-96: an LSTM (eq. 11) on the gradient of eq. 4, the prior a GENN at
    two scales (eq. 10) whose kernels have a centre, as published ones have, or, where the file has
    no arrays of a GENN, the known dynamics. All components have one mean and scale; the first guess
    is linear between observations and physical zero beyond a component's first and last; a
    window's gradients are divided by the root mean square of its first one.

    The arrays are told in docs/howto/published-weights.md.

    Args:
        file: its path.
        components: of the state; the weights are for any number.
        dtype: of the model. In single precision a ReLU near zero may go either way, and states
            differ from those of double precision by up to 0.1 in places.

    Returns:
        The model, built.

    Raises:
        InputError: the file is none, or arrays are missing, are more than these, do not have their
            shapes or are not finite.

    Usage:

        from tf4dvar.models.plain_arrays import model_from_arrays

        lstm = {
            "gates_kernel": np.zeros((3, 3, 6, 20)),
            "gates_bias": np.zeros(20),
            "increment": np.zeros(5),
        }
        np.savez("weights.npz", mean=2.3, scale=3.7, alpha_observation=1, alpha_prior=1, **lstm)
        model = model_from_arrays("weights.npz")
        states = model.predict(sample_windows(Lorenz96(), 2, 16))
    """
    arrays = _checked(_read(file))
    units = arrays["increment"].size
    is_learned = "out" in arrays
    mean, scale = float(arrays["mean"]), float(arrays["scale"])
    settings: dict[str, Any] = {"dtype": dtype}
    if is_learned:
        prior = PeriodicGENN(
            arrays["out"].size,
            arrays["fine_kernel"].shape[0],
            zero_centre=False,
            scale=arrays["up"].shape[0],
            **settings,
        )
    else:
        prior = RK4Flow(Lorenz96ODE(trainable=False, **settings), Lorenz96.time_step, **settings)
    update = LSTMCell(units, arrays["gates_kernel"].shape[0], circle=True, **settings)
    model = FourDVarNet(
        prior,
        GradientSolver(update, int(arrays.get("iterations", ITERATIONS)), **settings),
        LinearInterpolation(beyond=-mean / scale, **settings),
        observation_weight=float(arrays["alpha_observation"]) ** 2,
        prior_weight=float(arrays["alpha_prior"]) ** 2,
        **settings,
    )
    model.build((None, None, components))
    model.normalisation.mean.assign(np.full(components, mean))
    model.normalisation.std.assign(np.full(components, scale))
    update.gates.kernel.assign(arrays["gates_kernel"])
    update.gates.bias.assign(arrays["gates_bias"])
    update.increment.kernel.assign(arrays["increment"].reshape(update.increment.kernel.shape))
    if is_learned:
        for name, block in (("fine", prior.fine), ("coarse", prior.coarse)):
            of = {each: arrays[f"{name}_{each}"] for each in SCALE}
            block.neighbours.kernel.assign(of["kernel"][:, :, np.newaxis])
            block.narrow.assign(of["narrow"])
            block.linear.assign(of["linear"])
            block.products.assign([of["left"], of["right"]])
            block.out.assign([of["out_linear"], of["out_product"]])
        prior.up.assign(arrays["up"])
        prior.out.assign(arrays["out"][:, np.newaxis])
    return model


def _read(file):
    try:
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # what is no archive fails in many ways
        raise InputError(f"{file} is no archive of arrays, .npz ({first_line(error)}).") from error


def _checked(arrays: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    expected: dict[str, tuple[str, ...]] = {**dict.fromkeys(NUMBERS, ()), **LSTM}
    if not {*arrays}.isdisjoint(GENN):
        expected |= GENN
    missing, more = {*expected} - {*arrays}, {*arrays} - {*expected, "iterations"}
    if missing or more:
        raise InputError(
            f"Received arrays without {', '.join(sorted(missing)) or 'a gap'}, and with "
            f"{', '.join(map(shown, sorted(more))) or 'nothing'} beside; expected "
            f"{', '.join(expected)}, and iterations if they are not {ITERATIONS}."
        )
    sizes = {
        "k": arrays["gates_kernel"].shape[:1],
        "u": (arrays["increment"].size,),
        "n": (arrays["out"].size,) if "out" in arrays else (),
        "s": arrays["up"].shape[:1] if "up" in arrays else (),
    }
    for name, axes in expected.items():
        known = sizes | {"k": arrays[name].shape[:1]}
        shape = tuple(_size(axis, known) for axis in axes)
        if arrays[name].shape != shape:
            raise InputError(
                f"Received {name} of shape {arrays[name].shape}; expected {shape}, which is "
                f"[{', '.join(axes)}]."
            )
        if not np.isfinite(arrays[name]).all():
            raise InputError(f"Received {name} with a value that is not finite.")
    if not arrays["scale"] > 0:
        raise InputError(f"Received scale={arrays['scale']}; expected a positive number.")
    return arrays


def _size(axis, sizes):
    """Of an axis as it is written, `1 + u`."""
    number = (*sizes[axis[-1]], 0)[0]
    return {"4 u": 4 * number, "1 + u": 1 + number}.get(axis, number)
