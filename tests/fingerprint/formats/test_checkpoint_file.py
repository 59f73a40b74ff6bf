from __future__ import annotations

import argparse
import collections
import datetime
import enum
import fractions
import functools
import io
import ipaddress
import logging
import pathlib
import pickle
import re
import struct
import time
import typing
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fingerprint.errors import IncompatibleModel, InputRefused, MalformedFile, UnsafeFile
from fingerprint.formats.safe_globals import Inert
from fingerprint.formats.weights_file import read_weights
from tests.fingerprint.network.networks import Runs, equal, small

ZIP, LEGACY = {}, {"_use_new_zipfile_serialization": False}


def rewritten(data: bytes, change: Callable[[str, bytes], Any], **options: Any) -> bytes:
    """Writes an archive again, each member's content replaced by ``change``; None drops it."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", **options) as new:
        for member in old.infolist():
            content = change(member.filename, old.read(member))
            if content is not None:
                new.writestr(member.filename, content)
    return out.getvalue()


def saved(content: Any, **options: Any) -> bytes:
    out = io.BytesIO()
    torch.save(content, out, **options)
    return out.getvalue()


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[Path]:
    """A path that exists afterwards only if a file ran code."""
    path = tmp_path / "ran"
    yield path
    assert not path.exists(), "the file ran code"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def put(data: bytes, name: str = "model.pt") -> str:
        path = tmp_path / name
        path.write_bytes(data)
        return str(path)

    return put


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_both_layouts_of_torch_are_read(write: Callable[..., str], layout: dict[str, bool]) -> None:
    state = small().state_dict()
    weights = read_weights(write(saved(state, **layout)))
    assert equal(weights.entries[0].tensors, state)
    assert weights.file.format == "torch"


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", ["m.pt", "m.bin", "m.ckpt", "m.safetensors", "m"])
def test_code_in_a_checkpoint_is_named_and_not_run(
    write: Callable[..., str], mark: Path, layout: dict[str, bool], name: str
) -> None:
    path = write(saved({"state_dict": small().state_dict(), "x": Runs(mark)}, **layout), name)
    with pytest.raises(UnsafeFile, match=r"(posix|nt)\.system"):
        read_weights(path)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["m.bin", "m.ckpt", "m.safetensors", "m.pt"])
def test_code_in_a_raw_pickle_is_named_and_not_run(
    write: Callable[..., str], mark: Path, protocol: int, name: str
) -> None:
    path = write(pickle.dumps({"a": Runs(mark)}, protocol=protocol), name)
    with pytest.raises(UnsafeFile, match=r"(posix|nt)\.system"):
        read_weights(path)


def test_a_gadget_of_torch_itself_is_refused(write: Callable[..., str], mark: Path) -> None:
    gadget = b"ctorch.utils.collect_env\nrun\n(X" + len(f"touch {mark}").to_bytes(4, "little")
    gadget += f"touch {mark}".encode() + b"tR."
    clean = saved({"w": torch.ones(2)})
    for data in (gadget, rewritten(clean, lambda n, c: gadget if n.endswith(".pkl") else c)):
        with pytest.raises(UnsafeFile, match=r"torch\.utils\.collect_env\.run"):
            read_weights(write(data))


def test_a_pickle_nested_in_bytes_stays_bytes(write: Callable[..., str], mark: Path) -> None:
    content = {"state_dict": small().state_dict(), "inner": pickle.dumps(Runs(mark), protocol=2)}
    assert equal(read_weights(write(saved(content))).entries[0].tensors, small().state_dict())


def test_a_plain_pickle_without_code_is_refused_too(write: Callable[..., str]) -> None:
    with pytest.raises(UnsafeFile, match=r"raw pickle.*torch\.save"):
        read_weights(write(pickle.dumps({"a": [1.0, 2.0]})))


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_a_whole_module_is_refused_with_save_the_state_dict(
    write: Callable[..., str], layout: dict[str, bool]
) -> None:
    with pytest.raises(UnsafeFile, match=r"whole pickled module.*Sequential.*state_dict"):
        read_weights(write(saved(small(), **layout)))


@pytest.mark.filterwarnings("ignore:.torch.jit:FutureWarning")
def test_torchscript_is_refused(write: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "scripted.pt"
    torch.jit.script(nn.Linear(2, 3)).save(str(path))
    with pytest.raises(UnsafeFile, match="TorchScript"):
        read_weights(str(path))


def test_an_exported_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "exported.pt2"
    torch.export.save(torch.export.export(nn.Linear(2, 3), (torch.ones(1, 2),)), str(path))
    with pytest.raises(UnsafeFile, match="exported program"):
        read_weights(str(path))


def test_training_leftovers_beside_the_weights_are_ignored(write: Callable[..., str]) -> None:
    network = small()
    optimizer = torch.optim.AdamW(network.parameters())
    network(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    content = {
        "state_dict": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("/tmp/x")),
        "metric": np.float64(0.9),
        "history": np.arange(3),
        "counts": collections.defaultdict(int, {"a": 1}),
        "when": datetime.datetime(2024, 1, 2),
        "raw": b"abc",
        "names": {"a", "b"},
        "shape": torch.Size([1, 2]),
        "device": torch.device("cpu"),
        "dtype": torch.float16,
    }
    assert equal(read_weights(write(saved(content))).entries[0].tensors, network.state_dict())


def test_stand_ins_keep_nothing(write: Callable[..., str]) -> None:
    before = set(torch.serialization.get_safe_globals())
    read_weights(write(saved({"state_dict": small().state_dict(), "a": argparse.Namespace(x=1)})))
    assert set(torch.serialization.get_safe_globals()) == before
    assert vars(Inert(1, 2, x=3)) == {}


class Config:
    """A class of the user's own."""

    def __init__(self) -> None:
        self.lr = 0.1


class Options(dict):  # type: ignore[type-arg]
    """A dictionary of the user's own."""


class Names(list):  # type: ignore[type-arg]
    """A list of the user's own."""


class Attributed(dict):  # type: ignore[type-arg]
    """A dictionary whose entries are attributes too, as configurations often are."""

    def __init__(self, **entries: Any) -> None:
        super().__init__(entries)
        self.__dict__.update(entries)


class Callbacks(list):  # type: ignore[type-arg]
    """A list with something beside its elements."""

    def __init__(self, *elements: Any) -> None:
        super().__init__(elements)
        self.called = 0


class Colour(enum.Enum):
    RED = 1


class Outer:
    class Inner:
        """A class inside another."""

    def method(self) -> None:
        """A method."""


BESIDE: dict[str, Callable[[], Any]] = {
    "a class": lambda: nn.ReLU,
    "a loss": nn.CrossEntropyLoss,
    "a loss with weights": lambda: nn.CrossEntropyLoss(weight=torch.ones(5)),
    "a layer": lambda: nn.Linear(2, 3),
    "a function": lambda: nn.functional.cross_entropy,
    "an optimizer's class": lambda: torch.optim.AdamW,
    "an optimizer to be made": lambda: functools.partial(torch.optim.SGD, lr=0.1),
    "an object": Config,
    "a class of one's own": lambda: Config,
    "a dictionary of one's own": lambda: Options(a=1, b=Config()),
    "a list of one's own": lambda: Names(["a", "b"]),
    "a choice": lambda: Colour.RED,
    "a fraction": lambda: fractions.Fraction(1, 3),
    "a class inside another": lambda: Outer.Inner,
    "an object of a class inside another": Outer.Inner,
    "a bound method": lambda: Outer().method,
    "an activation": lambda: torch.relu,
    "a function of Python's": lambda: max,
    "a function of NumPy's": lambda: np.mean,
    "attributes": lambda: Attributed(a=1, b=Config()),
    "a list with attributes": lambda: Callbacks("a", Config()),
    "a time with its zone": lambda: datetime.datetime.now(datetime.UTC),
    "an expression": lambda: re.compile("a+"),
    "a type of elements": lambda: typing.Literal["a"],
    "a generic type": lambda: list[int],
    "bytes that change": lambda: bytearray(b"abc"),
    "an ellipsis": lambda: ...,
    "a type of tensors": lambda: torch.Tensor,
    "a layout": lambda: torch.strided,
    "a generator": lambda: np.random.default_rng(0),
    "a generator of old": lambda: np.random.RandomState(0),
    "a log": lambda: logging.getLogger("training"),
    "a state of NumPy's": lambda: np.random.default_rng(0).bit_generator.state,
}


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
@pytest.mark.filterwarnings("ignore")
def test_what_lies_beside_the_weights_is_stood_in_for(
    write: Callable[..., str], name: str, layout: dict[str, bool]
) -> None:
    state = small().state_dict()
    if layout is LEGACY and name in ("a class", "a loss", "a loss with weights", "a layer"):
        pytest.skip("the older layout stores the source of modules' classes")
    content = {"state_dict": state, "hyper_parameters": {"lr": 0.1, "extra": BESIDE[name]()}}
    assert equal(read_weights(write(saved(content, **layout))).entries[0].tensors, state)


def test_weights_in_a_dictionary_of_ones_own_are_read(write: Callable[..., str]) -> None:
    state = small().state_dict()
    path = write(saved({"weights": Options(state)}))
    assert equal(read_weights(path).entries[0].tensors, state)


HARMFUL = (
    "subprocess.Popen", "builtins.eval", "builtins.getattr", "runpy.run_path", "pty.spawn",
    "ctypes.CDLL", "types.FunctionType", "types.CodeType", "importlib.import_module",
    "torch.utils.collect_env.run", "torch.hub.load", "torch.storage._load_from_bytes",
    "numpy.testing._private.utils.runstring", "pip.main", "webbrowser.open", "code.Interpreter",
    "cloudpickle.cloudpickle._make_function", "asyncio.unix_events._UnixSubprocessTransport",
)  # fmt: skip


@pytest.mark.parametrize("name", HARMFUL)
def test_names_that_only_harm_needs_are_refused_by_name(
    write: Callable[..., str], name: str
) -> None:
    module, _, leaf = name.rpartition(".")
    call = b"\x80\x02c" + f"{module}\n{leaf}\n".encode() + b")R."
    data = rewritten(saved({"w": torch.ones(2)}), lambda n, c: call if n.endswith(".pkl") else c)
    with pytest.raises(UnsafeFile, match=re.escape(name)):
        read_weights(write(data))


@pytest.mark.parametrize(
    "text",
    [
        b"cposix\nsystem\nX\x08\0\0\0__call__\x86R",
        b"cmine\nnet\nX\x0b\0\0\0__globals__\x86R",
        b"cmine\nnet\n]\x86R",
    ],
    ids=["of a harmful one", "of Python's own", "of no text"],
)
def test_parts_are_named_only_of_what_may_be_named(write: Callable[..., str], text: bytes) -> None:
    call = b"\x80\x02cbuiltins\ngetattr\n" + text + b"."
    data = rewritten(saved({"w": torch.ones(2)}), lambda n, c: call if n.endswith(".pkl") else c)
    with pytest.raises(UnsafeFile, match=r"builtins\.getattr|posix\.system"):
        read_weights(write(data))


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_newer_protocol_is_refused_with_the_way_out(
    write: Callable[..., str], protocol: int
) -> None:
    path = write(saved(small().state_dict(), pickle_protocol=protocol))
    with pytest.raises(IncompatibleModel, match=f"protocol {protocol}.*default protocol"):
        read_weights(path)


def test_another_class_is_refused_with_its_exact_type(write: Callable[..., str]) -> None:
    content = {"state_dict": small().state_dict(), "at": ipaddress.ip_address("::1")}
    with pytest.raises(UnsafeFile, match=r"ipaddress\.IPv6Address"):
        read_weights(write(saved(content)))


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (lambda: torch.ones(2, 2).to_sparse(), "sparse"),
        (lambda: torch.ones(2, dtype=torch.complex64), "complex"),
        (lambda: torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.ones(2, device="meta"), "meta"),
    ],
    ids=["sparse", "complex", "quantised", "meta"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_no_weights_are_refused_by_kind(
    write: Callable[..., str], content: Callable[[], torch.Tensor], kind: str
) -> None:
    with pytest.raises(IncompatibleModel, match=kind):
        read_weights(write(saved({"w": content()})))


def test_float8_is_read_and_converted(write: Callable[..., str]) -> None:
    values = torch.tensor([0.5, -1.0, 2.0])
    weights = read_weights(write(saved({"w": values.to(torch.float8_e4m3fn)})))
    assert torch.equal(weights.entries[0].tensors["w"], values)
    assert "float8_e4m3fn" in weights.entries[0].warnings[0]


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_a_trillion_repeated_elements_are_refused_at_once(
    write: Callable[..., str], layout: dict[str, bool]
) -> None:
    data = saved({"w": torch.ones(1).expand(10**6, 10**6)}, **layout)
    assert len(data) < 3000
    began = time.process_time()
    with pytest.raises(UnsafeFile, match="claims 1000000000000 elements"):
        read_weights(write(data))
    assert time.process_time() - began < 1


def test_a_deflated_bomb_is_refused_before_it_expands(write: Callable[..., str]) -> None:
    data = rewritten(saved({"w": torch.zeros(10_000_000)}), lambda _, content: content,
                     compression=zipfile.ZIP_DEFLATED)  # fmt: skip
    assert len(data) < 100_000
    with pytest.raises(UnsafeFile, match="claim to expand"):
        read_weights(write(data))


def test_a_deflated_checkpoint_of_ordinary_weights_is_read(write: Callable[..., str]) -> None:
    state = small().state_dict()
    data = rewritten(saved(state), lambda _, content: content, compression=zipfile.ZIP_DEFLATED)
    assert equal(read_weights(write(data)).entries[0].tensors, state)


def test_a_storage_larger_than_its_record_is_refused(write: Callable[..., str]) -> None:
    def grow(name: str, content: bytes) -> bytes:
        return content.replace(b"K\x04", b"M\xff\xff") if name.endswith(".pkl") else content

    with pytest.raises(MalformedFile, match="claims"):
        read_weights(write(rewritten(saved({"w": torch.ones(4)}), grow)))


def test_a_legacy_storage_larger_than_the_file_is_refused(write: Callable[..., str]) -> None:
    data = saved({"w": torch.ones(4)}, **LEGACY).replace(b"K\x04", b"J\xff\xff\xff\x7f", 1)
    data = data.replace(b"K\x04", b"J\xff\xff\xff\x7f")
    with pytest.raises(MalformedFile):
        read_weights(write(data))


def test_text_encodings_cannot_be_chained_into_a_bomb(write: Callable[..., str]) -> None:
    chain = b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x03\x00\x00\x00hex\x86R."
    data = rewritten(saved({"w": torch.ones(2)}), lambda n, c: chain if n.endswith(".pkl") else c)
    with pytest.raises(UnsafeFile, match=r"_codecs\.encode"):
        read_weights(write(data))


def text(value: bytes) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value


LARGE = b"J\xff\xff\xff\x7f\x85R"
BYTES = b"c_codecs\nencode\n" + text(b"a" * 2**22) + b"q\x01" + text(b"latin1") + b"q\x02\x86R"
FLOATS = b"cnumpy\ndtype\n" + text(b"f4") + b"K\x00K\x01\x87R(K\x03" + text(b">") + (
    b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)  # fmt: skip
ARRAY = (
    b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    b"(K\x01J" + struct.pack("<i", 2**20) + b"\x85h\x04\x89h\x03tb"
)
BOMBS: dict[str, Callable[[], bytes]] = {
    "a count of one hash": lambda: (
        b"ccollections\nCounter\n](" + b"".join(_Bomb.numbers(20_000)) + b"e\x85R"
    ),
    "many names for many calls": lambda: (
        b"]("
        + b"".join(map(_named, range(500)))
        + b"cmine\nC\nq\x01"
        + b"h\x01)\x81" * 50_000
        + b"e"
    ),
    "arrays of the same bytes": lambda: (
        b"](" + BYTES + b"q\x03" + FLOATS + b"q\x04" + ARRAY * 1000 + b"e"
    ),
    "a storage out of nothing": lambda: b"ctorch.storage\nUntypedStorage\n" + LARGE,
    "a tensor out of nothing": lambda: b"ctorch\nTensor\n" + LARGE,
    "bytes out of nothing": lambda: b"cbuiltins\nbytearray\n" + LARGE,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_pickle_cannot_ask_for_much(write: Callable[..., str], name: str) -> None:
    pickled = b"\x80\x02" + BOMBS[name]() + b"."
    data = rewritten(saved({"w": torch.ones(2)}), lambda n, c: pickled if n.endswith(".pkl") else c)
    path, begun = write(data), time.process_time()
    with pytest.raises(UnsafeFile):
        read_weights(path)
    assert time.process_time() - begun < 10


class _Bomb:
    """Pickles as the given instructions of protocol 2."""

    MODULUS = 2**61 - 1  # numbers that differ by it share one hash

    @staticmethod
    def number(value: int) -> bytes:
        digits = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
        return b"\x8a" + bytes([len(digits)]) + digits

    @classmethod
    def numbers(cls, count: int) -> list[bytes]:
        return [cls.number(index * cls.MODULUS) for index in range(1, count)]


def _named(index: int) -> bytes:
    return b"cmine\nC%d\n" % index


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"}(" + b"".join(key + b"N" for key in _Bomb.numbers(20_000)) + b"u", "large numbers"),
        (
            b"cbuiltins\nset\n](" + b"".join(_Bomb.numbers(20_000)) + b"e\x85R",
            "large numbers",
        ),
        (
            b"}("
            + b"".join(b"cbuiltins\ncomplex\nK%cK\x00\x86RN" % (n % 256) for n in range(20_000))
            + b"u",
            "large numbers",
        ),
        (b"}(" + b")" + b"\x85" * 500_000 + b"Nu", "nested or long tuples"),
        (b"cbuiltins\nset\n])" + b"\x85" * 500_000 + b"a\x85R", "nested or long tuples"),
        (b"})" + b"q\x01h\x01\x86" * 60 + b"K\x01s", "nested or long tuples"),
        (b"](" + b"".join(map(_named, range(2000))) + b"e", "more than 1000 classes"),
        (
            b"](c_codecs\nencode\n" + text(b"a" * 2**20) + b"q\x01" + text(b"latin1")
            + b"q\x02\x86R" + b"c_codecs\nencode\nh\x01h\x02\x86R" * 3 + b"e",
            "over and over",
        ),
    ],
    ids=["numbers", "set", "complex", "tuple", "set of tuples", "doubled", "names", "encoding"],
)  # fmt: skip
def test_small_pickles_that_are_much_work_are_refused(
    tmp_path: Path, body: bytes, reason: str
) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + body + b".")
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    with pytest.raises(UnsafeFile, match=reason):
        read_weights(str(path))


@pytest.mark.parametrize(
    "extra",
    ["archive/x.zip", "archive/x.py", "other/data.pkl", "../x", "/etc/x", "archive/../../x"],
)
def test_members_torch_does_not_write_are_refused(write: Callable[..., str], extra: str) -> None:
    out = io.BytesIO(saved({"w": torch.ones(2)}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr(extra, b"x")
    with pytest.raises(UnsafeFile, match="unexpected member"):
        read_weights(write(out.getvalue()))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(write: Callable[..., str]) -> None:
    out = io.BytesIO(saved({"w": torch.ones(2)}))
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("archive/data.pkl", b"x")
    with pytest.raises(MalformedFile, match="two members of one name"):
        read_weights(write(out.getvalue()))


def test_archives_that_are_no_checkpoint_are_refused(write: Callable[..., str]) -> None:
    arrays, other, keras = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.savez(arrays, w=np.ones(2))
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("readme.txt", b"x")
    with zipfile.ZipFile(keras, "w") as archive:
        archive.writestr("metadata.json", b"{}")
        archive.writestr("model.weights.h5", b"x")
    for data, reason in ((arrays, "NumPy"), (other, "not a torch checkpoint"), (keras, "Keras")):
        with pytest.raises(InputRefused, match=reason):
            read_weights(write(data.getvalue()))


@pytest.mark.parametrize("layout", [ZIP, LEGACY], ids=["zip", "legacy"])
def test_a_truncated_checkpoint_is_refused_at_any_length(
    write: Callable[..., str], layout: dict[str, bool]
) -> None:
    data = saved(small().state_dict(), **layout)
    for size in range(1, len(data), max(1, len(data) // 150)):
        with pytest.raises(InputRefused):
            read_weights(write(data[:size]))
