from __future__ import annotations

import pytest

from fingerprint.errors import UsageError
from registry import UnknownModel
from registry.names import checked_name, default_name, unknown
from tests.support.fingerprints import make_model


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        " model",
        "model\n",
        "a\0b",
        "a\x1b[31mb",
        "a\tb",
        "a\rb",
        "a\x7fb",
        "a\x85b",
        "a\ud800b",
        "a\N{LINE SEPARATOR}b",
        "x" * 101,
        "x" * 10_000,
    ],
)
def test_names_that_nothing_could_carry_are_refused_in_one_short_line(name: str) -> None:
    with pytest.raises(UsageError) as refusal:
        checked_name(name)
    assert len(str(refusal.value).splitlines()) == 1
    assert str(refusal.value).isprintable()
    assert len(str(refusal.value)) < 500


@pytest.mark.parametrize("name", [None, 7, b"bytes", ["list"]])
def test_a_name_is_text(name: object) -> None:
    with pytest.raises(UsageError, match="expected a text"):
        checked_name(name)  # type: ignore[arg-type]


def test_the_length_is_counted_after_composition() -> None:
    assert checked_name("e\N{COMBINING ACUTE ACCENT}" * 100) == "é" * 100


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/models/resnet20.safetensors", "resnet20"),
        ("/models/net.v2.pt", "net.v2"),
        ("/models/.hidden", ".hidden"),
        ("/models/no suffix", "no suffix"),
    ],
)
def test_the_default_name_is_the_files_without_its_suffix(path: str, name: str) -> None:
    assert default_name(make_model(path=path)) == name


def test_a_model_in_memory_needs_a_name() -> None:
    with pytest.raises(UsageError, match="name="):
        default_name(make_model())


def test_close_names_come_closest_first_whatever_their_case() -> None:
    names = ["ResNet20", "resnet20-tuned", "vit"]
    assert close("resnet20", names)[0] == "ResNet20"
    assert close("resnet20-tune", names)[0] == "resnet20-tuned"
    assert close("zzz", names) == ()
    with pytest.raises(UsageError, match="at most"):
        unknown("x" * 100_000, names)


def close(name: str, names: list[str]) -> tuple[str, ...]:
    with pytest.raises(UnknownModel) as refusal:
        unknown(name, names)
    return refusal.value.close
