"""Classes that are found by their names."""

from inspect import getdoc
from typing import Any, ClassVar


class Entry:
    """A class that is in the registry of its kind as soon as it is defined.

    A kind gives `registry`, the classes by name; each of them gives `name`. One that gives itself
    none is only to derive from.
    """

    registry: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        name = vars(cls).get("name")
        if not isinstance(name, str):
            return
        known = cls.registry.get(name, cls)
        # Defined once more, as a cell of a notebook is: the later one holds.
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise ValueError(f"Received the name {name!r} twice: {known} has it.")
        cls.registry[name] = cls

    @classmethod
    def summary(cls) -> str:
        """What it is: the first paragraph of its docstring."""
        return (getdoc(cls) or "").split("\n\n")[0]
