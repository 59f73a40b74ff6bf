"""Names for the layers of a forward pass: where each stands, and all of them different."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["named"]

_SHORT = {"scaled_dot_product_attention": "attention"}


def named(calls: Sequence[tuple[str, bool, str]]) -> list[str]:
    """Names calls by the modules that made them.

    A module without inner modules that only ever makes one kind of call lends its path; of any
    other the function follows the path. The second and further calls of one name are numbered:
    ``layer1.0.relu``, ``layer1.0.relu_1``.

    Args:
        calls: Path of the module, whether it has no inner modules, and name of the function.
    """
    functions: dict[str, set[str]] = {}
    for path, _, function in calls:
        functions.setdefault(path, set()).add(function)
    plain = []
    for path, leaf, function in calls:
        alone = path and leaf and len(functions[path]) == 1
        short = _SHORT.get(function, function)
        plain.append(path if alone else f"{path}.{short}" if path else short)
    taken = set(plain)
    used: set[str] = set()
    names = []
    for name in plain:
        number, free = 1, name
        while free in used or (free != name and free in taken):
            free = f"{name}_{number}"
            number += 1
        used.add(free)
        names.append(free)
    return names
