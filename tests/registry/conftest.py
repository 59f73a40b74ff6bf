"""Registries in the states tests start from."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from registry import RegisteredModel, Registry
from tests.registry.fake_library import FakeLibrary
from tests.support.fingerprints import make_fingerprint, make_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture
def registry(path: Path) -> Iterator[Registry]:
    with Registry(path) as opened:
        yield opened


@pytest.fixture
def family(registry: Registry) -> Registry:
    """A registry with ``source``, its child ``derived`` and the stranger ``other``."""
    put(registry, "source", 0)
    put(registry, "derived", 1, parent="source")
    put(registry, "other", 2)
    return registry


def put(
    registry: Registry, name: str, seed: int = 0, *, parent: str | None = None, file: str = ""
) -> RegisteredModel:
    """Stores a small synthetic model."""
    model = make_model(seed, path=file or f"/models/{name}.safetensors")
    fingerprint = make_fingerprint(model, seed=registry.seed)
    return registry.store(fingerprint, model, name=name, parent=parent)


def tamper(path: Path | None, *statements: str) -> None:
    """Changes a registry behind its back."""
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> FakeLibrary:
    """The package ``fingerprint``, answering at once."""
    fake = FakeLibrary()
    for name in ("extract", "load_model", "verify"):
        monkeypatch.setattr(f"fingerprint.{name}", getattr(fake, name))
    return fake
