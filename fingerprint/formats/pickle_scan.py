"""Says what a pickle would do, without doing any of it.

    found = scan(stream)
    found.globals       # every class and function it would import
    found.storages      # every block of numbers it would allocate
    found.fault         # why it is no pickle of a torch checkpoint; None if it is one

A pickle is a program. Its instructions are followed here one by one on a stack that holds no
values but names, strings and numbers; nothing is imported, called or allocated. What passes is
then loaded by torch with ``weights_only=True``, so two independent readers have to agree that a
file is data.

A few instructions can also ask for much: a tuple of tuples of itself has no end of values, bytes
can be copied as often as they are named, and keys can be chosen so that a table of them takes for
ever to fill. All of that is counted here, and refused long before it costs anything.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

from fingerprint.errors import IncompatibleModel, InputRefused, MalformedFile, UnsafeFile
from fingerprint.text import clean

__all__ = ["Scan", "Storage", "Use", "scan"]

_MAX_INSTRUCTIONS = 2_000_000
_LONGEST_STRING = 1000  # longer ones name nothing
_MOST_ODD_KEYS = 10_000
"""Keys that are large numbers, tuples or what a call made: they can be chosen to share one hash,
and n of them then take n² comparisons. Nothing that is saved beside weights has many."""
_MOST_NAMES = 1000  # classes and functions; scripts leave a few dozen
_MOST_LOOKUPS = 20_000_000  # names by calls: torch goes through all names at each
_MOST_REPEATED = 2**28  # bytes that are named again, each time perhaps copied
_LONGEST_KEY = 1000  # values of a tuple that is a key, those of tuples inside it included
_DEEPEST = 500  # tuples in tuples
_DEEPEST_KEY = 50  # tuples in tuples, which are hashed by recursion
_SMALL = 2**60  # numbers below it are their own hash
_SLACK = 2**20  # bytes that may be encoded more than the file holds
_NEWEST_PROTOCOL = 3  # that torch's own reader of weights follows
_OF_A_PART = ("builtins.getattr", "_operator.getitem")
"""Functions with which classes inside others, and generic types, are named."""

_STRINGS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING",
            "SHORT_BINSTRING")  # fmt: skip
_NUMBERS = ("BININT", "BININT1", "BININT2", "BINFLOAT", "LONG1")
_PLAIN = ("NONE", "NEWTRUE", "NEWFALSE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_SET", "PROTO", "STOP")
_OF_TORCH = {
    *_NUMBERS, *_PLAIN, "BINUNICODE", "SHORT_BINSTRING", "EMPTY_TUPLE", "MARK", "APPEND", "APPENDS",
    "SETITEM", "SETITEMS", "BUILD", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "NEWOBJ", "REDUCE",
    "BINPERSID", "GLOBAL", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET",
}  # fmt: skip
"""The instructions that torch's own reader of weights follows."""


@dataclass
class Use:
    """What a pickle does with a class or function it imports.

    Attributes:
        called: It is called, or an instance of it is made.
        filled: What is then put into the result: ``items`` by key, ``elements`` in order, or a
            ``state``.
    """

    called: bool = False
    filled: set[str] = field(default_factory=set)


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


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What one pickle would do.

    Attributes:
        globals: Every ``module.name`` it imports and what it does with it, first use first.
        storages: Every block of numbers it declares.
        strings: The strings in it.
        fault: Why it is no pickle of a torch checkpoint, if it is none: it breaks off, or does
            what no saved state_dict does. What was found until then is kept.
    """

    globals: dict[str, Use] = field(default_factory=dict)
    storages: list[Storage] = field(default_factory=list)
    strings: set[str] = field(default_factory=set)
    fault: InputRefused | None = None


def scan(stream: BinaryIO) -> Scan:
    """Reads one pickle, leaving the stream behind it."""
    machine = _Machine()
    fault: InputRefused | None = None
    try:
        machine.run(stream)
    except InputRefused as error:
        fault = error
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeError, TypeError):
        fault = MalformedFile("the pickle is truncated or corrupt")
    return replace(machine.found, fault=fault or machine.strange)


def _dotted(argument: str) -> str:
    """Returns ``module.name`` as Python 3 calls it; old protocols write Python 2's names."""
    module, _, name = argument.partition(" ")
    if (module, name) in NAME_MAPPING:
        module, name = NAME_MAPPING[(module, name)]
    return f"{IMPORT_MAPPING.get(module, module)}.{name}"


def _strange(name: str, argument: Any) -> InputRefused | None:
    """Says so where an instruction is none of those that torch writes."""
    if name == "PROTO" and argument > _NEWEST_PROTOCOL:
        return IncompatibleModel(
            f"saved with pickle protocol {argument}, of which torch reads no weights safely; save "
            "it again with the default protocol: torch.save(model.state_dict(), path)"
        )
    if name not in _OF_TORCH:
        return UnsafeFile(f"the pickle uses {name}, which no saved state_dict does")
    return None


def _part(name: str, given: Sequence[Any]) -> str | None:
    """Returns the name of a class inside another, or of a generic type; None for anything else."""
    if len(given) != 2 or not isinstance(given[0], (_Named, _Made)):
        return None
    whole, part = given[0].name, given[1]
    if name == "_operator.getitem":
        return whole if whole.startswith("typing.") else None
    plain = isinstance(part, str) and part.isidentifier() and not part.startswith("_")
    return f"{whole}.{part}" if plain else None


def _text(argument: Any) -> str:
    return argument.decode("latin1") if isinstance(argument, bytes) else str(argument)


@dataclass(frozen=True)
class _Named:
    """A class or function on the stack."""

    name: str


@dataclass(frozen=True)
class _Made:
    """The result of calling it, and how many bytes it holds where that is known."""

    name: str
    size: int = 0


class _Tuple(tuple[Any, ...]):
    """A tuple, with how many values it holds in all, how deeply, and how many bytes."""

    values: int
    depth: int
    size: int

    @classmethod
    def of(cls, items: Sequence[Any]) -> _Tuple:
        made = cls(items)
        inner = [item for item in items if isinstance(item, _Tuple)]
        made.values = 1 + len(items) - len(inner) + sum(item.values for item in inner)
        made.depth = 1 + max((item.depth for item in inner), default=0)
        if made.depth > _DEEPEST:
            raise UnsafeFile(f"the pickle has nested or long tuples, more than {_DEEPEST} deep")
        made.size = sum(map(_size, items))
        return made


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return value.size if isinstance(value, (_Made, _Tuple)) else 0


_OPAQUE = object()
_HASHING = ("builtins.set", "builtins.frozenset", "collections.OrderedDict",
            "collections.Counter")  # fmt: skip
"""What torch calls and what hashes the entries of a list that it is given."""


def _odd(key: Any) -> bool:
    """Whether a file can choose many such keys that share one hash."""
    return isinstance(key, tuple | _Made) or (isinstance(key, int) and abs(key) >= _SMALL)


def _deep(key: Any) -> bool:
    """Whether hashing it could take long, or more stack than there is."""
    return isinstance(key, _Tuple) and (key.values > _LONGEST_KEY or key.depth > _DEEPEST_KEY)


class _Machine:
    """The pickle machine with every action left out."""

    def __init__(self) -> None:
        self.found = Scan()
        self.strange: InputRefused | None = None
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}
        self._odd_keys = 0
        self._elements = 0  # of lists, that would be odd keys if a list became a set
        self._nested = False  # whether a list holds nested or long tuples
        self._encoded = self._repeated = self._calls = 0
        self._position = 0
        self._steps: dict[str, Callable[[Any], None]] = {
            **dict.fromkeys(_STRINGS, self._string),
            **dict.fromkeys(_NUMBERS, self._stack_push),
            **dict.fromkeys(("BINPUT", "LONG_BINPUT", "PUT"), self._put),
            **dict.fromkeys(("BINGET", "LONG_BINGET", "GET"), self._get),
            **dict.fromkeys(("REDUCE", "NEWOBJ"), self._call),
            "NEWOBJ_EX": self._call_with_keywords,
            "BUILD": self._build,
            "EMPTY_TUPLE": lambda _: self._stack.append(_Tuple.of(())),
            "TUPLE": lambda _: self._stack_push(_Tuple.of(self._to_mark())),
            "TUPLE1": lambda _: self._tuple(1),
            "TUPLE2": lambda _: self._tuple(2),
            "TUPLE3": lambda _: self._tuple(3),
            "MARK": self._mark,
            "APPEND": lambda _: self._append(self._pop(1)),
            "APPENDS": lambda _: self._append(self._to_mark()),
            "SETITEM": lambda _: self._set(self._pop(2)),
            "SETITEMS": lambda _: self._set(self._to_mark()),
            "MEMOIZE": lambda _: self._put(len(self._memo)),
            "GLOBAL": lambda argument: self._name(_dotted(argument)),
            "INST": self._instance,
            "STACK_GLOBAL": lambda _: self._name(".".join(map(_text, self._pop(2)))),
            "BINPERSID": self._persistent,
        }

    def run(self, stream: BinaryIO) -> None:
        """Follows the instructions of one pickle."""
        for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
            self._position = position or 0
            if count > _MAX_INSTRUCTIONS:
                raise UnsafeFile(f"the pickle has more than {_MAX_INSTRUCTIONS} instructions")
            if self.strange is None:
                # Noted, not raised: what follows may be worse, and is better told.
                self.strange = _strange(opcode.name, argument)
            step = self._steps.get(opcode.name)
            if step is not None:
                step(argument)
            else:
                self._other(opcode)

        if len(self.found.globals) * self._calls > _MOST_LOOKUPS:
            raise UnsafeFile(
                f"the pickle uses {len(self.found.globals)} classes and functions in {self._calls} "
                "calls, more than any checkpoint"
            )

    def _other(self, opcode: pickletools.OpcodeInfo) -> None:
        """Does to the stack what Python's own table says that the instruction does."""
        if pickletools.markobject in opcode.stack_before:
            self._to_mark()
            self._pop(opcode.stack_before.index(pickletools.markobject))
        else:
            self._pop(len(opcode.stack_before))
        self._stack.extend([_OPAQUE] * len(opcode.stack_after))

    def _stack_push(self, argument: Any) -> None:
        self._stack.append(argument)

    def _string(self, argument: Any) -> None:
        text = _text(argument)
        if len(text) <= _LONGEST_STRING:
            self.found.strings.add(text)
        self._stack.append(text)

    def _name(self, name: str) -> None:
        self._calls += 1
        self.found.globals.setdefault(name, Use())
        if len(self.found.globals) > _MOST_NAMES:
            raise UnsafeFile(f"the pickle imports more than {_MOST_NAMES} classes and functions")
        self._stack.append(_Named(name))

    def _put(self, place: Any) -> None:
        self._memo[int(place)] = self._stack[-1]

    def _get(self, place: Any) -> None:
        value = self._memo[int(place)]
        self._repeated += _size(value)
        if self._repeated > _MOST_REPEATED:
            raise UnsafeFile(
                f"the pickle repeats more than {_MOST_REPEATED} bytes of what it holds once"
            )
        self._stack.append(value)

    def _mark(self, _: Any) -> None:
        self._marks.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        items = self._stack
        self._stack = self._marks.pop()
        return items

    def _pop(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise IndexError("the stack is too short")
        items = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return items

    def _build(self, _: Any) -> None:
        self._calls += 1
        self._fill(self._pop(1), "state")

    def _tuple(self, size: int) -> None:
        self._stack.append(_Tuple.of(self._pop(size)))

    def _fill(self, items: list[Any], how: str) -> None:
        target = self._stack[-1]
        if items and isinstance(target, _Made):
            self.found.globals[target.name].filled.add(how)

    def _append(self, items: list[Any]) -> None:
        """Fills a list, remembering whether a set could be made of it."""
        self._elements += sum(map(_odd, items))
        self._nested = self._nested or any(map(_deep, items))
        self._fill(items, "elements")

    def _set(self, items: list[Any]) -> None:
        """Fills a dictionary, looking at its keys: hashing them is work that a file can choose."""
        keys = items[::2]
        self._hash(sum(map(_odd, keys)), nested=any(map(_deep, keys)))
        self._fill(items, "items")

    def _hash(self, odd: int, *, nested: bool) -> None:
        self._odd_keys += odd
        if nested:
            raise UnsafeFile("the pickle has a key of nested or long tuples")
        if self._odd_keys > _MOST_ODD_KEYS:
            raise UnsafeFile(
                f"the pickle has more than {_MOST_ODD_KEYS} keys that are large numbers, tuples or "
                "objects"
            )

    def _instance(self, argument: str) -> None:
        self._to_mark()
        self._name(_dotted(argument))
        self._made()

    def _call(self, _: Any) -> None:
        """Forgets a call, but for those that torch really makes, which can be made to explode."""
        arguments = self._pop(1)[0]
        function = self._stack[-1]
        name = function.name if isinstance(function, _Named) else ""
        given = arguments if isinstance(arguments, tuple) else ()
        if name == "_codecs.encode":
            if len(given) != 2 or not isinstance(given[0], str) or given[1] != "latin1":
                raise UnsafeFile("the pickle calls _codecs.encode for something else than bytes")
            self._encoded += len(given[0])
            if self._encoded > self._position + _SLACK:
                raise UnsafeFile("the pickle encodes one text over and over")
        elif name == "builtins.bytearray":
            if any(isinstance(value, int) for value in given):
                raise UnsafeFile(f"the pickle calls {name} for something else than bytes")
        elif name in _HASHING and arguments != ():
            self._hash(self._elements, nested=self._nested or _deep(arguments))
        elif name in _OF_A_PART:
            part = _part(name, given)
            if part is not None:
                self._stack.pop()
                self._name(part)
                return
        self._made(sum(map(_size, given)))

    def _call_with_keywords(self, _: Any) -> None:
        self._pop(1)
        self._call(None)

    def _made(self, size: int = 0) -> None:
        self._calls += 1
        function = self._pop(1)[0]
        if not isinstance(function, _Named):
            self._stack.append(_OPAQUE)
            return
        self.found.globals[function.name].called = True
        self._stack.append(_Made(function.name, size))

    def _persistent(self, _: Any) -> None:
        """Records ``('storage', class, key, location, numel[, view])``."""
        identity = self._pop(1)[0]
        if not isinstance(identity, tuple) or not identity or identity[0] != "storage":
            items = identity if isinstance(identity, tuple) else ()
            named = [item.name for item in items if isinstance(item, _Named)]
            kind = f" ({clean(named[0])})" if named else ""
            raise UnsafeFile(
                f"a whole pickled module{kind}, not a state_dict; "
                "save it with torch.save(model.state_dict(), path)"
            )
        if len(identity) not in (5, 6) or not isinstance(identity[1], _Named):
            raise MalformedFile("the pickle declares a storage in an unknown way")
        _, kind, key, _, numel = identity[:5]
        if type(numel) is not int or not 0 <= numel < 2**48 or not isinstance(key, str):
            raise MalformedFile(f"storage {clean(key)}: {clean(numel)} is not a size")
        self.found.storages.append(Storage(kind=kind.name, key=key, numel=numel))
        self._stack.append(_OPAQUE)
