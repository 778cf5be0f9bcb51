"""Classes that are found by their names."""

from typing import Any


def enter(registry: dict[str, Any], entry: type[Any]) -> None:
    """Enter a class under its `name`; one that gives itself none is only to derive from.

    Args:
        registry: the classes by name.
        entry: the class.

    Raises:
        ValueError: another class has the name.
    """
    if "name" in vars(entry):
        known = registry.setdefault(entry.name, entry)
        # Defined once more, as a cell of a notebook is: the later one holds.
        if (known.__module__, known.__qualname__) != (entry.__module__, entry.__qualname__):
            raise ValueError(f"Received the name {entry.name!r} twice: {known} has it.")
        registry[entry.name] = entry
