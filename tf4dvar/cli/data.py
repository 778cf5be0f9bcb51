"""How the commands open a user's file: one's own, or one of windows."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import xarray as xr

from tf4dvar.cli.common import listed, refuse_given
from tf4dvar.data import TRANSFORMS, Layout, Members, read_windows
from tf4dvar.data.conventions import first_member
from tf4dvar.data.signature import WINDOW
from tf4dvar.data.stores import open_source
from tf4dvar.data.writing import write_slabs
from tf4dvar.errors import InputError
from tf4dvar.storage import check_output


class DataFile:
    """What `--data` and the options beside it say.

    Args:
        path: a file, a store or a glob.
        options: by their names in `OPENING`, as they were given.
        context: of the command that they were given to.
    """

    def __init__(
        self,
        path: str,
        options: dict[str, Any] | None = None,
        context: typer.Context | None = None,
    ):
        self.path, self._context = path, context
        self._options = {name: value for name, value in (options or {}).items() if value}

    def beside(self, path: str) -> "DataFile":
        """A file of true states: of the same variables and dimensions.

        Which observations count, and how well they are known, is said of observations alone.

        Args:
            path: of it.
        """
        options = {name: of for name, of in self._options.items() if name in OF_STATES}
        return DataFile(path, options, self._context)

    @functools.cached_property
    def is_of_windows(self) -> bool:
        """Whether it is a file of windows, of which nothing is cut."""
        if not Path(self.path).is_file():
            return False
        try:
            return "window" in open_source(self.path).dims
        except InputError:
            return True  # `read_windows` says what is wrong with it

    @functools.cached_property
    def is_of_fields(self) -> bool:
        """Whether one's own file, which is none of windows, is of maps."""
        dims, variables = (self._opening[key] for key in ("dims", "variables"))
        try:
            # Without a look at the values, of which something may have to be said, once.
            member = first_member(open_source(self.path))
            return len(Layout.of(member, dims, variables).space) == 2
        except InputError:
            return self.members().of_fields

    def members(
        self, variables: Sequence[str] | None = None, covariates: Sequence[str] = ()
    ) -> Members:
        """The members of one's own file, of maps or of a series.

        Args:
            variables: in place of those that the option names.
            covariates: see `open_data`.
        """
        opening = self._opening | ({"variables": variables} if variables else {})
        return Members.open(self.path, covariates=covariates, **opening)

    @property
    def _opening(self) -> dict[str, Any]:
        """The options as `open_data` takes them."""
        dims = dict(pairs_of("dims", listed(self._options.get("dims", ""))))
        errors = self._options.get("error", [])
        error = errors[0] if errors and "=" not in errors[0] else dict(pairs_of("error", errors))
        return {
            **{key: self._options.get(key) for key in ("mask", "quality", "time_step")},
            "variables": listed(self._options.get("variables", "")) or None,
            "error": error or None,
            "dims": dims or None,
        }

    def windows(
        self,
        window: int = WINDOW,
        truth: str | None = None,
        transforms: Mapping[str, str] | None = None,
        covariates: Sequence[str] = (),
        of_series: Sequence[str] = ("truth", "window", "overlap", "transform"),
    ) -> xr.Dataset:
        """A data set of windows: those of a file of them, or a series cut up.

        Args:
            window: steps of those of a series.
            truth: a file of the true states of a series; see `beside`.
            transforms: see `Series`.
            covariates: see `open_data`.
            of_series: options that are refused beside a file of windows.
        """
        if not self.is_of_windows:
            scale = transforms or {}
            true = None if truth is None else self.beside(truth).members().with_transforms(scale)
            members = self.members(covariates=covariates).with_transforms(scale)
            return members.cut(window, truth=true)
        assert self._context is not None
        refuse_given(
            self._context,
            [*OPENING, *of_series],
            f"{self.path} is a file of windows, which is read as it is; expected none of these.",
        )
        return read_windows(self.path)


DataOption = Annotated[
    DataFile,
    typer.Option(
        "--data",
        parser=DataFile,
        metavar="PATH",
        help="NetCDF file, zarr store or glob: a table or maps in time, or windows.",
    ),
]
WindowOption = Annotated[
    int, typer.Option(min=2, help="Steps of the windows that a series is cut into.")
]
TruthOption = Annotated[
    str | None, typer.Option("--truth", help="File of the true states of a series.")
]

TransformOption = Annotated[
    list[str] | None,
    typer.Option(
        "--transform",
        help="Of a positive variable, in which the model works: VARIABLE=NAME, of "
        f"{', '.join(TRANSFORMS)}.",
    ),
]

OPENING: dict[str, Any] = {
    "variables": Annotated[
        str | None,
        typer.Option(help="Of the file, with commas; by default all measurements in time."),
    ],
    "mask": Annotated[
        str | None,
        typer.Option(help="Variable that is not 0 where there is a value, or NAME==1 of it."),
    ],
    "quality": Annotated[str | None, typer.Option(help="What has to hold, NAME>=3.")],
    "error": Annotated[
        list[str] | None,
        typer.Option(
            help="Variable of the observations' standard deviation or variance; of several "
            "variables each as VARIABLE=NAME."
        ),
    ],
    "dims": Annotated[
        str | None,
        typer.Option(help="Dimensions that are not recognised, as time=t,y=row,x=column."),
    ],
    "time_step": Annotated[
        str | None,
        typer.Option(help="Of a regular grid for observations at irregular times, as 1h."),
    ],
}


OF_STATES = ("variables", "dims", "time_step")


def opens_files(
    command: Callable[..., None], changed: dict[str, Any] | None = None
) -> Callable[..., None]:
    """Give a command the options by which its file is opened.

    Args:
        command: with a parameter `data`, a `DataFile`.
        changed: options in place of those of `OPENING`, by the same names.
    """
    opening = OPENING | (changed or {})

    @functools.wraps(command)
    def with_options(context: typer.Context, **given: Any) -> None:
        options = {name: given.pop(name) for name in OPENING}
        if given["data"] is not None:
            given["data"] = DataFile(given["data"].path, options, context)
        command(**(given | ({"context": context} if "context" in signature.parameters else {})))

    signature = inspect.signature(command)
    own = [each for name, each in signature.parameters.items() if name != "context"]
    of_context = inspect.Parameter(
        "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
    )
    added = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in opening.items()
    ]
    keyword = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own]
    with_options.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[of_context, *keyword, *added]
    )
    with_options.__annotations__ = {
        each.name: each.annotation for each in [of_context, *keyword, *added]
    }
    return with_options


def write_series(
    like: xr.Dataset, slabs: Iterable[xr.Dataset], time: str, out: Path, force: bool
) -> None:
    """Write states in the form of the file that they are of.

    Args:
        like: the file's data set.
        slabs: of `Series.restored`.
        time: dimension of time.
        out: the file.
        force: overwrite one that exists.
    """
    check_output(out, force)
    write_slabs(like, slabs, time, out)


def pairs_of(option: str, texts: list[str]) -> list[tuple[str, str]]:
    """What is given as NAME=NAME.

    Args:
        option: its name.
        texts: what was given.
    """
    pairs = [tuple(each.split("=")) for each in texts]
    if any(len(pair) != 2 for pair in pairs):
        raise InputError(f"Received {option}={','.join(texts)}; expected NAME=NAME of each.")
    return pairs  # type: ignore[return-value]
