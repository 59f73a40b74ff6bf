"""Registries in the states tests start from."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fingerprint.evidence.finding import Finding
from fingerprint.network.model import Model
from fingerprint.verification import Candidate, Verification
from registry import RegisteredModel, Registry
from registry.registration import Measured, Result, finished
from tests.support.fingerprints import make_fingerprint, make_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.db"


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that ``registry`` and ``family`` begin as: made once, and copied for each test."""
    folder = tmp_path_factory.mktemp("registries")
    Registry(folder / "empty.db").close()
    with Registry(folder / "family.db") as registry:
        put(registry, "source", 0)
        put(registry, "derived", 1, parent="source")
        put(registry, "other", 2)
    return folder


@pytest.fixture
def registry(path: Path, made: Path) -> Iterator[Registry]:
    """An empty registry."""
    shutil.copy(made / "empty.db", path)
    with Registry(path) as opened:
        yield opened


@pytest.fixture
def family(path: Path, made: Path) -> Iterator[Registry]:
    """A registry with ``source``, its child ``derived`` and the stranger ``other``."""
    shutil.copy(made / "family.db", path)
    with Registry(path) as opened:
        yield opened


def result_of(
    registry: Registry,
    name: str,
    model: Model,
    *,
    pairs: Sequence[Measured] = (),
    warnings: Sequence[str] = (),
    **options: Any,
) -> Result:
    """Plans a registration, and takes a synthetic fingerprint for what came of it."""
    task = registry.plan(model, name=name, **options)
    if task.known is not None:
        return Result(task=task)
    made = make_fingerprint(model, seed=registry.seed)
    digests = tuple(peer.model.model_digest for peer in task.relatives)
    fingerprint = replace(made, relatives=digests)
    return finished(task, model, fingerprint, pairs=pairs, warnings=warnings)


def put(
    registry: Registry,
    name: str,
    seed: int = 0,
    *,
    file: str = "",
    asked: dict[str, float | None] | None = None,
    verdict: str = "independent",
    **options: Any,
) -> RegisteredModel:
    """Registers a small synthetic model.

    Args:
        registry: Where.
        name: Its name.
        seed: Of its weights.
        file: Where its file is said to be.
        asked: Harm ratios of others' probes on it, by name; None for no evidence.
        verdict: What its answers to them are said to say.
        **options: Of the registration.
    """
    model = make_model(seed, path=file or f"/models/{name}.safetensors")
    result = result_of(registry, name, model, **options)
    numbers = {peer.name: peer.id for peer in result.task.ask}
    pairs = tuple(
        Measured(source=numbers[source], other=None, ratios=ratios(ratio), verdict=verdict)
        for source, ratio in (asked or {}).items()
    )
    return registry.commit(replace(result, pairs=pairs))


def ratios(*values: float | None) -> tuple[dict[str, Any], ...]:
    """Returns harm ratios by kind of probe, as they are kept: of the network's, then linear."""
    return tuple(
        {"test": "harm_ratio", "depth": depth, "answer_kind": "logits", "ratio": value}
        for depth, value in zip(("network", "linear"), values, strict=False)
        if value is not None
    )


def tamper(path: Path | None, *statements: str) -> None:
    """Changes a registry behind its back."""
    assert path is not None
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA foreign_keys = OFF")
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def verdict() -> Verification:
    """Returns a verification as somebody may have got it."""
    finding = Finding(
        test="harm_ratio", depth="network", statistic=0.3, interval=(0.2, 0.4), decides="kin"
    )
    candidate = Candidate(
        name="source",
        verdict="derived",
        relation="shares_origin",
        reason="the interval lies below the margin",
        harm_ratio=0.3,
        harm_ratio_ci=(0.2, 0.4),
        p_value=1e-5,
        margin=0.7,
        margin_source="default",
        label_agreement=0.75,
        findings=(finding,),
    )
    return Verification(
        suspect={"architecture": "live:Sequential"},
        verdict="derived",
        reason="the interval lies below the margin",
        best="source",
        queries=54,
        candidates=(candidate,),
    )
