"""Files that are well formed and ill meant."""

import io
import json
import os
import zipfile
from pathlib import Path

import h5py
import numpy as np
import xarray as xr

DIMS = ("window", "time", "component")


def _edited(path, edit):
    """A NetCDF file changed by h5py, behind xarray's back."""
    with h5py.File(path, "r+") as file:
        edit(file)


def _replace(file, data=None, **settings):
    """Another variable `observations`, with the dimensions of the old one where they fit."""
    names = [scale for scale in DIMS if scale in file]
    del file["observations"]
    variable = file.create_dataset("observations", data=data, **settings)
    for axis, name in enumerate(names[: variable.ndim]):
        if variable.shape[axis] == file[name].shape[0]:
            variable.dims[axis].attach_scale(file[name])


def _huge(file):
    for name in DIMS:
        del file[name]
    del file["truth"], file["observations"]
    shape = (2**20, 2**20, 3)
    for name, size in zip(DIMS, shape, strict=True):
        file.create_dataset(name, (size,), "f4", chunks=(1,)).make_scale(name)
    variable = file.create_dataset("observations", shape, "f8", chunks=(1, 1024, 3))
    for axis, name in enumerate(DIMS):
        variable.dims[axis].attach_scale(file[name])


def _pipe(file):
    pipe = Path(file.filename).with_suffix(".pipe")
    os.mkfifo(pipe)
    shape = file["observations"].shape
    size = 8 * int(np.prod(shape))
    _replace(file, shape=shape, dtype="f8", external=[(str(pipe), 0, size)])


def _stolen(file):
    """The observations are the bytes of another file."""
    shape = file["observations"].shape
    size = 8 * int(np.prod(shape))
    _replace(file, shape=shape, dtype="f8", external=[("/proc/self/exe", 0, size)])


def _virtual(file):
    shape = file["observations"].shape
    layout = h5py.VirtualLayout(shape, "f8")
    layout[:] = h5py.VirtualSource("/proc/self/exe", "nothing", shape)
    del file["observations"]
    file.create_virtual_dataset("observations", layout)


def _link(target):
    def edit(file):
        del file["observations"]
        file["observations"] = target

    return edit


def _attribute(name, value, of=None):
    def edit(file):
        (file if of is None else file[of]).attrs[name] = value

    return edit


def _by_xarray(change):
    def write(path):
        dataset = change(xr.load_dataset(path, engine="h5netcdf"))
        path.unlink()
        dataset.to_netcdf(path, engine="h5netcdf")

    return write


def _by_h5py(edit):
    return lambda path: _edited(path, edit)


def _nested(file):
    group = file
    for _ in range(2000):
        group = group.create_group("g")


NETCDF = {
    "groups in groups": _by_h5py(_nested),
    "text that is not UTF-8": _by_h5py(
        lambda file: file.attrs.create("title", b"\xb0C", dtype=h5py.string_dtype())
    ),
    "more than any memory": _by_h5py(_huge),
    "a pipe in place of the values": _by_h5py(_pipe),
    "values in another file": _by_h5py(_stolen),
    "a virtual variable": _by_h5py(_virtual),
    "a link to itself": _by_h5py(_link(h5py.SoftLink("/observations"))),
    "a link to nowhere": _by_h5py(_link(h5py.ExternalLink("nowhere.nc", "/x"))),
    "a link to a device": _by_h5py(_link(h5py.ExternalLink("/dev/zero", "/x"))),
    "a group": _by_h5py(
        lambda file: (file.__delitem__("observations"), file.create_group("observations"))
    ),
    "text": _by_h5py(lambda file: _replace(file, data=np.full(file["truth"].shape, b"abc"))),
    "text of any length": _by_h5py(
        lambda file: _replace(
            file, data=np.full(file["truth"].shape, "abc", object), dtype=h5py.string_dtype()
        )
    ),
    "complex": _by_h5py(lambda file: _replace(file, data=file["truth"][:] * 1j)),
    "records": _by_h5py(
        lambda file: _replace(file, data=np.zeros(file["truth"].shape, [("a", "f8"), ("b", "i4")]))
    ),
    "halves": _by_h5py(lambda file: _replace(file, data=file["truth"][:].astype("f2"))),
    "a scalar": _by_h5py(lambda file: _replace(file, data=1.0)),
    "no data": _by_h5py(lambda file: _replace(file, data=h5py.Empty("f8"))),
    **{
        f"{name} = {value!r}": _by_h5py(_attribute(name, value))
        for name, values in {
            "system": (b"l63", 3, [1, 2], "../l63", "", "l96", h5py.Empty("f8")),
            "time_step": ("abc", -1.0, 0.0, np.nan, 1e300, [1.0, 2.0], h5py.Empty("f8")),
            "noise_variance": ("abc", -1.0, 0.0, np.nan, np.inf, [1.0, 2.0], h5py.Empty("f8")),
        }.items()
        for value in values
    },
    **{
        f"{name} of observations = {value!r}": _by_h5py(_attribute(name, value, "observations"))
        for name, value in {
            "scale_factor": "abc",
            "add_offset": np.inf,
            "_FillValue": "x",
            "missing_value": [1.0, 2.0],
            "units": "days since the flood",
            "dtype": "bool",
            "DIMENSION_LIST": 3,
            "coordinates": "observations",
        }.items()
    },
    **{
        f"time units {units!r}": _by_h5py(_attribute("units", units, "time"))
        for units in ("days since 1950-01-01", "days since the flood", "x" * 60_000)
    },
    "a dimension more": _by_xarray(lambda data: data.assign(more=("bounds", [1.0, 2.0]))),
    "no truth": _by_xarray(lambda data: data.drop_vars("truth")),
    "no windows": _by_xarray(lambda data: data.isel(window=slice(0))),
    "no times": _by_xarray(lambda data: data.isel(time=slice(0))),
    "no components": _by_xarray(lambda data: data.isel(component=slice(0))),
    "one time": _by_xarray(lambda data: data.isel(time=[0])),
    "no coordinates": _by_xarray(lambda data: data.drop_vars(DIMS)),
    "another order": _by_xarray(lambda data: data.transpose(*reversed(DIMS))),
    "flat truth": _by_xarray(lambda data: data.assign(truth=data["truth"][0])),
    "truth of text": _by_xarray(lambda data: data.assign(truth=data["truth"].astype(str))),
    "truth of integers": _by_xarray(lambda data: data.assign(truth=data["truth"].astype(int))),
    "infinite truth": _by_xarray(lambda data: data.assign(truth=data["truth"] * np.inf)),
    "no truth known": _by_xarray(lambda data: data.assign(truth=data["truth"] * np.nan)),
    "no observations": _by_xarray(lambda data: data.assign(observations=data["truth"] * np.nan)),
    "infinite": _by_xarray(lambda data: data.assign(observations=data["truth"] * np.inf)),
    "very large": _by_xarray(lambda data: data.assign(observations=data["truth"] * 1e300)),
    "two components": _by_xarray(lambda data: data.isel(component=[0, 1])),
}
"""Each changes a good file of windows."""


def _layer(module, name, config, registered=None):
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered or name,
    }


def payloads(folder: Path) -> dict[str, dict]:
    """Serialised objects that would run something, or read or write what they should not.

    Args:
        folder: where they would leave their mark.
    """
    mark = str(folder / "mark")
    command = f"touch {mark}"
    code = f"__import__('os').system({command!r})"
    compiled = compile(f"lambda x: {code}", "", "eval")
    import base64
    import marshal

    marshalled = base64.b64encode(marshal.dumps(compiled)).decode()
    return {
        "os.system": _layer("os", "system", {"command": command}),
        "os.system as a function": _layer("builtins", "function", "system", "os>system"),
        "posix.system": _layer("posix", "system", command),
        "subprocess.Popen": _layer("subprocess", "Popen", {"args": ["touch", mark]}),
        "builtins.exec": _layer("builtins", "exec", code),
        "builtins.eval": _layer("builtins", "function", "eval"),
        "lambda layer": _layer(
            "keras.layers",
            "Lambda",
            {
                "name": "evil",
                "function": {
                    "class_name": "__lambda__",
                    "config": {"code": marshalled, "defaults": None, "closure": None},
                },
            },
        ),
        "lambda": {
            "class_name": "__lambda__",
            "config": {"value": marshalled, "defaults": None, "closure": None},
        },
        "unsafe mode": _layer("keras.config", "enable_unsafe_deserialization", {}),
        "unsafe mode from the source": _layer(
            "keras.src.saving.serialization_lib", "enable_unsafe_deserialization", {}
        ),
        "get_file": _layer(
            "keras.utils", "get_file", {"fname": mark, "origin": "http://127.0.0.1:9/x"}
        ),
        "load_model": _layer("keras.saving", "load_model", {"filepath": mark}),
        "pickle": _layer("pickle", "loads", "cos\nsystem\n(S'touch'\ntR."),
        "torch": _layer(
            "keras.layers", "TorchModuleWrapper", {"module": "Y29zCnN5c3RlbQo=", "name": "torch"}
        ),
        "vocabulary": _layer(
            "keras.layers", "StringLookup", {"vocabulary": "/etc/passwd", "name": "lookup"}
        ),
        "our loader": _layer("tf4dvar.evaluation.scores", "load_model", {"path": mark}),
        "our writer": _layer("tf4dvar.export.formats", "save", {"directory": mark}),
        "TFSMLayer": _layer("keras.layers", "TFSMLayer", {"filepath": mark, "name": "tfsm"}),
        "module of a path": _layer("../../evil", "Layer", {}),
        "no module": _layer(None, "system", {}),
        "typespec": {"class_name": "__typespec__", "spec_name": "os.system", "config": [command]},
        "ellipsis": {"class_name": "__ellipsis__", "config": {}},
        "a billion units": _layer("keras.layers", "Dense", {"units": 10**9}),
        "two layers of many units": _layer(
            "keras",
            "Sequential",
            {
                "layers": [
                    _layer("keras.layers", "Dense", {"name": name, "units": 10**5})
                    for name in ("one", "two")
                ]
            },
        ),
    }


def _zip(members, compression=zipfile.ZIP_STORED):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return content.getvalue()


def members(content: bytes) -> dict[str, bytes]:
    """The files in an archive."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(content: bytes, **changed: bytes) -> bytes:
    """The same archive, well formed, with other files: `config` or `weights`."""
    names = {"config": "config.json", "weights": "model.weights.h5"}
    return _zip({**members(content), **{names[key]: data for key, data in changed.items()}})


def with_payload(content: bytes, payload: dict, place: str) -> bytes:
    """A `.keras` file with a payload as the model, or in place of one of its parts."""
    config = json.loads(members(content)["config.json"])
    if place == "model":
        config = payload
    else:
        of_the_solver = place in ("update", "iterations")
        owner = config["config"]["solver"] if of_the_solver else config
        owner["config"][place] = payload
    return archive(content, config=json.dumps(config).encode())


def _weights(change):
    def damage(content, path):
        inside = path.with_suffix(".h5")
        inside.write_bytes(members(content)["model.weights.h5"])
        with h5py.File(inside, "r+") as file:
            change(file)
        return archive(content, weights=inside.read_bytes())

    return damage


def _each(change):
    def edit(file):
        found = []
        file.visititems(
            lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in found:
            shape, dtype = file[name].shape, file[name].dtype
            if not shape:
                continue
            del file[name]
            change(file, name, shape, dtype)

    return edit


def _external(file, name, shape, dtype):
    size = int(np.prod(shape)) * dtype.itemsize
    file.create_dataset(name, shape, dtype, external=[("/proc/self/exe", 0, size)])


def _bomb(content, path):
    large = {"model.weights.h5": bytes(2**28)}
    return _zip({**members(content), **large}, zipfile.ZIP_DEFLATED)


ARCHIVES = {
    "weights in another file": _weights(_each(_external)),
    "weights behind a link": _weights(
        _each(lambda file, name, *_: file.__setitem__(name, h5py.ExternalLink("/etc/x.h5", "/x")))
    ),
    "weights of another shape": _weights(
        _each(lambda file, name, shape, dtype: file.create_dataset(name, (7, *shape), dtype))
    ),
    "weights of text": _weights(
        _each(lambda file, name, shape, dtype: file.create_dataset(name, data="abc"))
    ),
    "weights larger than memory": _weights(
        _each(lambda file, name, *_: file.create_dataset(name, (2**50,), "f4", chunks=(1024,)))
    ),
    "no weights": _weights(_each(lambda *_: None)),
    "a bomb": _bomb,
    "a way out": lambda content, path: _zip({**members(content), "../../evil": b"evil"}),
    "nothing": lambda content, path: _zip({}),
}
"""Each makes a `.keras` file of a good one; its path may be needed."""
