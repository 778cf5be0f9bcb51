"""Ways to damage a file: of its bytes, and of the JSON in it."""

import json
import string
from collections.abc import Callable
from typing import Any

import numpy as np

Damage = Callable[[bytes, np.random.Generator], bytes]


def _place(content, rng):
    return int(rng.integers(len(content) + 1))


def truncate(content, rng):
    """The beginning alone."""
    return content[: _place(content, rng)]


def flip(content, rng):
    """A few bits are others."""
    damaged = bytearray(content)
    for _ in range(int(rng.choice((1, 1, 1, 2, 8, 64)))):
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def overwrite(content, rng):
    """A stretch is zeros, ones or noise, as on a bad disk."""
    start, length = _place(content, rng), int(2 ** rng.uniform(0, 13))
    stretch = content[start : start + length]
    filling = (bytes(len(stretch)), b"\xff" * len(stretch), rng.bytes(len(stretch)))
    return content[:start] + filling[rng.integers(3)] + content[start + len(stretch) :]


def cut(content, rng):
    """A stretch is missing."""
    start, length = _place(content, rng), int(2 ** rng.uniform(0, 13))
    return content[:start] + content[start + length :]


def repeat(content, rng):
    """A stretch comes twice."""
    start, length = _place(content, rng), int(2 ** rng.uniform(0, 13))
    return content[: start + length] + content[start:]


def swap(content, rng):
    """Two stretches have changed places."""
    first, second, third = sorted(_place(content, rng) for _ in range(3))
    return content[:first] + content[second:third] + content[first:second] + content[third:]


def junk(content, rng):
    """Something else altogether, or with the right beginning."""
    kept = int(rng.choice((0, 4, 8, 64)))
    return content[:kept] + rng.bytes(int(rng.integers(5000)))


BYTES: tuple[Damage, ...] = (truncate, flip, flip, overwrite, cut, repeat, swap, junk)

# Values that a reader may not expect.
HOSTILE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1, 2**31, 2**63, 10**400, -0.5, 1e308),
    *(float("nan"), float("inf"), "", "abc", "\x00", "../../etc", "{0.__class__}"),
    *([], {}, [[]], [None], {"": None}, list(range(1000)), "x" * 10_000),
)


def nodes(tree: Any, path: tuple = ()) -> list[tuple]:
    """Paths to all nodes of a JSON tree."""
    found = [path]
    children = (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    )
    for key, child in children:
        found += nodes(child, (*path, key))
    return found


def replace(tree: Any, path: tuple, value: Any) -> Any:
    """A copy of a tree with another node."""
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = replace(copy[path[0]], path[1:], value)
    return copy


def change_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Valid JSON with a node that is another, missing, or copied from elsewhere."""
    tree = json.loads(content)
    for _ in range(int(rng.choice((1, 1, 2)))):
        paths = nodes(tree)
        path = paths[rng.integers(len(paths))]
        kind = rng.integers(4)
        if kind == 0 and path:
            parent = tree
            for key in path[:-1]:
                parent = parent[key]
            parent = dict(parent) if isinstance(parent, dict) else list(parent)
            del parent[path[-1]]
            tree = replace(tree, path[:-1], parent)
        elif kind == 1:
            source = tree
            for key in paths[rng.integers(len(paths))]:
                source = source[key]
            tree = replace(tree, path, source)
        else:
            tree = replace(tree, path, HOSTILE[rng.integers(len(HOSTILE))])
    return json.dumps(tree).encode()


def odd_text(content: bytes, rng: np.random.Generator) -> bytes:
    """Text that is hard to read: deep, long, of another encoding."""
    depth = 100_000
    texts = (
        b"[" * depth,
        b'{"a":' * depth + b"1" + b"}" * depth,
        b"9" * 100_000,
        content.decode().encode("utf-16"),
        b"\xef\xbb\xbf" + content,
        b"\xff" + content,
        b"\x00" * 100,
        content + content,
        b"",
        "".join(rng.choice(list(string.printable), 200)).encode(),
    )
    return texts[rng.integers(len(texts))]


TEXT: tuple[Damage, ...] = (*BYTES, change_json, change_json, change_json, odd_text)
