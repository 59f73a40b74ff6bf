"""Says what a pickle would do, without doing any of it.

    names = global_names(data)           # every class and function it would import
    storages = storages_of(stream)       # every block of numbers it would allocate

A pickle is a program. Its instructions are read here one by one; nothing is imported, called
or allocated. What passes this check is then loaded by torch with ``weights_only=True``, so two
independent readers have to agree that a file is data.
"""

from __future__ import annotations

import io
import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from fingerprint.errors import MalformedFile, UnsafeFile
from fingerprint.text import clean

__all__ = ["Storage", "global_names", "storages_of", "strings_of"]

_MAX_INSTRUCTIONS = 2_000_000
_STRINGS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
            "SHORT_BINSTRING")  # fmt: skip
_LITERALS = (*_STRINGS, "BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1")
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_OPAQUE = object()


@dataclass(frozen=True, kw_only=True)
class Named:
    """A class or function a pickle refers to, by its dotted name."""

    name: str


@dataclass(frozen=True, kw_only=True)
class Storage:
    """One block of numbers a checkpoint declares.

    Attributes:
        kind: Storage class, such as ``torch.FloatStorage``.
        key: Its name in the file.
        numel: Number of elements.
    """

    kind: str
    key: str
    numel: int


def global_names(data: bytes | memoryview) -> list[str]:
    """Returns every ``module.name`` a pickle imports, first use first.

    Works for all protocols and stops quietly where the bytes stop being a pickle.
    """
    names: dict[str, None] = {}
    recent: list[str] = []
    memo: dict[int, str] = {}
    try:
        for opcode, argument, _ in _bounded(io.BytesIO(data)):
            if opcode.name in ("GLOBAL", "INST"):
                names[_dotted(argument)] = None
            elif opcode.name == "STACK_GLOBAL":
                names[".".join(recent[-2:])] = None
            elif opcode.name in _STRINGS:
                recent = [*recent[-1:], _text(argument)]
            elif opcode.name == "MEMOIZE":
                memo[len(memo)] = recent[-1] if recent else ""
            elif opcode.name in ("BINPUT", "LONG_BINPUT", "PUT"):
                memo[int(argument)] = recent[-1] if recent else ""
            elif opcode.name in ("BINGET", "LONG_BINGET", "GET"):
                recent = [*recent[-1:], memo.get(int(argument), "")]
    except (ValueError, IndexError, OverflowError, UnicodeError):
        # Not a pickle from here on: what was found so far is the answer.
        return list(names)
    return list(names)


def strings_of(stream: BinaryIO) -> set[str]:
    """Returns every string of one pickle, leaving the stream behind it."""
    return {_text(arg) for opcode, arg, _ in _bounded(stream) if opcode.name in _STRINGS}


def storages_of(stream: BinaryIO) -> list[Storage]:
    """Returns the storages one torch pickle declares, leaving the stream behind it.

    Raises:
        UnsafeFile: It does what no saved state_dict does.
        MalformedFile: It is not a complete pickle.
    """
    machine = _Machine()
    try:
        for opcode, argument, _ in _bounded(stream):
            machine.step(opcode.name, argument)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeError) as error:
        raise MalformedFile("the pickle is truncated or corrupt") from error
    return machine.storages


def _bounded(stream: BinaryIO) -> Iterator[tuple[Any, Any, int | None]]:
    for count, instruction in enumerate(pickletools.genops(stream)):
        if count > _MAX_INSTRUCTIONS:
            raise UnsafeFile(f"the pickle has more than {_MAX_INSTRUCTIONS} instructions")
        yield instruction


def _dotted(argument: Any) -> str:
    """Returns ``module.name`` as Python 3 calls it; old protocols write Python 2's names."""
    module, _, name = str(argument).partition(" ")
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _text(argument: Any) -> str:
    return argument.decode("latin1") if isinstance(argument, bytes) else str(argument)


class _Machine:
    """The pickle machine with every action left out: stack, marks and memo only."""

    def __init__(self) -> None:
        self.storages: list[Storage] = []
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._steps: dict[str, Callable[[], None]] = {
            "MARK": self._mark,
            "APPEND": self._drop,
            "SETITEM": self._drop_two,
            "APPENDS": self._drop_mark,
            "SETITEMS": self._drop_mark,
            "BUILD": self._drop,
            "TUPLE": self._tuple_of_mark,
            "TUPLE1": lambda: self._tuple(1),
            "TUPLE2": lambda: self._tuple(2),
            "TUPLE3": lambda: self._tuple(3),
            "NEWOBJ": self._call,
            "REDUCE": self._call,
            "BINPERSID": self._persistent,
            "PROTO": lambda: None,
            "STOP": self._drop,
        }

    def step(self, name: str, argument: Any) -> None:
        """Follows one instruction."""
        if name in _LITERALS:
            self._stack.append(_text(argument) if name in _STRINGS else argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in ("EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET"):
            self._stack.append(_OPAQUE)
        elif name == "GLOBAL":
            self._stack.append(Named(name=_dotted(argument)))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            self._stack.append(self._memo[argument])
        elif name in self._steps:
            self._steps[name]()
        else:
            raise UnsafeFile(f"the pickle uses {name}, which no saved state_dict does")

    def _drop(self) -> None:
        self._stack.pop()

    def _drop_two(self) -> None:
        del self._stack[-2:]

    def _drop_mark(self) -> None:
        self._pop_mark()

    def _mark(self) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _pop_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _tuple_of_mark(self) -> None:
        items = tuple(self._pop_mark())
        self._stack.append(items)

    def _tuple(self, size: int) -> None:
        items = tuple(self._stack[-size:])
        if len(items) < size:
            raise IndexError("the stack is too short")
        self._stack[-size:] = [items]

    def _call(self) -> None:
        """Forgets a call; text encodings are looked at, since they can be chained to explode."""
        arguments = self._stack.pop()
        function = self._stack.pop()
        if isinstance(function, Named) and function.name == "_codecs.encode":
            plain = isinstance(arguments, tuple) and len(arguments) == 2
            if not plain or not isinstance(arguments[0], str) or arguments[1] != "latin1":
                raise UnsafeFile("the pickle calls _codecs.encode for something else than bytes")
        self._stack.append(_OPAQUE)

    def _persistent(self) -> None:
        """Records ``('storage', class, key, location, numel[, view])``."""
        identity = self._stack.pop()
        if not isinstance(identity, tuple) or not identity or identity[0] != "storage":
            raise UnsafeFile(
                "a whole pickled module, not a state_dict; "
                "save it with torch.save(model.state_dict(), path)"
            )
        if len(identity) not in (5, 6) or not isinstance(identity[1], Named):
            raise MalformedFile("the pickle declares a storage in an unknown way")
        _, kind, key, _, numel = identity[:5]
        if type(numel) is not int or not 0 <= numel < 2**48 or not isinstance(key, str):
            raise MalformedFile(f"storage {clean(key)}: {clean(numel)} is not a size")
        self.storages.append(Storage(kind=kind.name, key=key, numel=numel))
        self._stack.append(_OPAQUE)
