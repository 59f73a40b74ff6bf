"""What can go wrong with a registry, in one tree under the library's own.

::

    EnvironmentFailure                        (exit 5)
    └── RegistryError              the registry could not be used
        ├── RegistryUnavailable    it cannot be opened or written: permission, disk, directory
        │   └── RegistryReadOnly   it can be read, but not written
        ├── RegistryLocked         another process kept it busy for too long
        ├── NotARegistry           the file is something else, or holds foreign SQL objects
        ├── RegistryTooNew         written by a newer version than this one
        └── RegistryCorrupt        rows that do not hash to what was recorded, or a broken chain
    InputRefused                              (exit 3)
    ├── NameTaken                  another model has this name
    ├── AlreadyDeclared            the same model is registered with other declared origins
    ├── HasDescendants             other models declare this one as their parent
    └── WatchTaken                 something is watched by this name
    UsageError                                (exit 2)
    ├── UnknownModel               no registered model has this name
    │   └── UnknownParent          the declared parent is not registered
    ├── UnknownVerification        no verdict of this number is recorded
    └── UnknownWatch               nothing is watched by this name

Errors of SQLAlchemy and of the driver never leave the package: ``registry.session`` turns them
into these and keeps the original as the cause.
"""

from __future__ import annotations

from fingerprint.errors import EnvironmentFailure, InputRefused, UsageError

__all__ = [
    "AlreadyDeclared",
    "HasDescendants",
    "NameTaken",
    "NotARegistry",
    "RegistryCorrupt",
    "RegistryError",
    "RegistryLocked",
    "RegistryReadOnly",
    "RegistryTooNew",
    "RegistryUnavailable",
    "UnknownModel",
    "UnknownParent",
    "UnknownVerification",
    "UnknownWatch",
    "WatchTaken",
]


class RegistryError(EnvironmentFailure):
    """The registry could not be used; what it holds is unchanged."""


class RegistryUnavailable(RegistryError):
    """The registry cannot be opened, read or written: permission, disk full, a directory."""


class RegistryReadOnly(RegistryUnavailable):
    """The registry can be read, but not written."""

    def __init__(self, where: str, reason: str | None = None) -> None:
        super().__init__(
            f"registry {where}: {reason or 'it is read-only'}; make it writable, or give another "
            "one with --registry"
        )


class RegistryLocked(RegistryError):
    """Another process held the registry for longer than the busy timeout."""


class NotARegistry(RegistryError):
    """The file is not a registry: no SQLite file, another program's, or with foreign objects."""


class RegistryTooNew(RegistryError):
    """The registry was written by a newer version of this program.

    Attributes:
        found: The schema revision the file has.
        known: The newest schema revision this program knows.
    """

    def __init__(self, where: str, *, found: str, known: str) -> None:
        super().__init__(
            f"registry {where}: expected schema {known} or older, found {found}; it was written "
            "by a newer version: upgrade nullprint, or use another registry"
        )
        self.found = found
        self.known = known


class RegistryCorrupt(RegistryError):
    """Something in the registry is not what was written there.

    Attributes:
        rows: The damaged rows, each as ``table key: what is wrong``.
    """

    def __init__(self, where: str, rows: tuple[str, ...]) -> None:
        shown = "; ".join(rows[:5]) + (f"; and {len(rows) - 5} more" if len(rows) > 5 else "")
        super().__init__(f"registry {where} is damaged: {shown}; restore it from a backup")
        self.rows = rows


class NameTaken(InputRefused):
    """A model of this name is registered already."""

    def __init__(self, name: str, *, same_weights: bool = False) -> None:
        way_out = "choose another with --name, or remove it first"
        if same_weights:
            way_out += "; 'fp register --again' with its name makes its fingerprint anew"
        super().__init__(f"name: {name!r} is registered already; {way_out}")
        self.name = name


class AlreadyDeclared(InputRefused):
    """The same model is registered already, and something else was declared of its origin."""

    def __init__(self, name: str, declared: str, wanted: str) -> None:
        super().__init__(
            f"{name!r} is registered already {declared}; to register it {wanted}, remove it first"
        )
        self.name = name


class HasDescendants(InputRefused):
    """The model is the declared parent of others, which would lose their family."""

    def __init__(self, name: str, children: tuple[str, ...]) -> None:
        listed = ", ".join(repr(child) for child in children)
        super().__init__(f"{name!r} is the declared parent of {listed}; remove those first")
        self.name = name
        self.children = children


class UnknownModel(UsageError):
    """No registered model has this name.

    Attributes:
        name: The name asked for.
        close: Registered names that resemble it, closest first.
    """

    role = "model"

    def __init__(self, name: str, close: tuple[str, ...] = ()) -> None:
        listed = ", ".join(repr(other) for other in close)
        way_out = f"did you mean {listed}?" if close else "see `fp list`"
        super().__init__(f"{self.role}: no registered model is named {name!r}; {way_out}")
        self.name = name
        self.close = close


class UnknownParent(UnknownModel):
    """The parent declared for a model is not registered."""

    role = "parent"


class WatchTaken(InputRefused):
    """Something is watched by this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"name: {name!r} is watched already; choose another, or begin anew after "
            "'fp watch remove' with its name"
        )
        self.name = name


class UnknownWatch(UsageError):
    """Nothing is watched by this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"watch: nothing is watched as {name!r}; see 'fp watch show'")
        self.name = name


class UnknownVerification(UsageError):
    """No verdict of this number is recorded."""

    def __init__(self, number: int, recorded: int) -> None:
        super().__init__(
            f"verification: none of the {recorded} recorded ones is number {number}; "
            "'fp show NAME' lists those of a model"
        )
        self.number = number
