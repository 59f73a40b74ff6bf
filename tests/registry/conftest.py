"""Registries in the states tests start from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.exc import DataError, DBAPIError

from fingerprint.evidence.finding import Finding
from fingerprint.network.model import Model
from fingerprint.verification import Candidate, Verification
from registry import RegisteredModel, Registry
from registry.registration import Measured, Result, finished
from tests.registry.places import Databases, Files, Place, Places, execute
from tests.support.fingerprints import make_fingerprint, make_model
from tests.support.postgresql import Server


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that is not there yet."""
    return tmp_path / "registry.db"


@pytest.fixture(
    scope="session",
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)],
)
def places(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Places:
    """Where registries are kept: what asks for this, or for a registry, runs on either kind."""
    if request.param == "sqlite":
        return Files(str(tmp_path_factory.mktemp("registries")))
    server: Server = request.getfixturevalue("server")
    return Databases(server.url("postgres"))


sqlite_only = pytest.mark.parametrize("places", ["sqlite"], indirect=True)
"""For what only a file can go through."""
postgresql_only = pytest.mark.parametrize(
    "places", [pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)
"""For what only a server can."""


@pytest.fixture
def place(places: Places) -> Iterator[Place]:
    """A place where nothing is yet."""
    made = places.empty()
    yield made
    places.discard(made)


@pytest.fixture(scope="session")
def made(places: Places) -> dict[str, Place]:
    """What ``registry`` and ``family`` begin as: made once, and copied for each test."""
    found = {name: places.at(name) for name in ("empty", "family")}
    Registry(found["empty"]).close()
    with Registry(found["family"]) as registry:
        put(registry, "source", 0)
        put(registry, "derived", 1, parent="source")
        put(registry, "other", 2)
    return found


@pytest.fixture
def registry(places: Places, made: dict[str, Place]) -> Iterator[Registry]:
    """An empty registry."""
    yield from _opened(places, made["empty"])


@pytest.fixture
def family(places: Places, made: dict[str, Place]) -> Iterator[Registry]:
    """A registry with ``source``, its child ``derived`` and the stranger ``other``."""
    yield from _opened(places, made["family"])


def _opened(places: Places, source: Place) -> Iterator[Registry]:
    copy = places.copy(source)
    with Registry(copy) as opened:
        yield opened
    places.discard(copy)


def place_of(registry: Registry) -> Place:
    """Returns what opens this registry again."""
    return registry.path or registry._engine.url.render_as_string(hide_password=False)


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
    near = {"near_relatives": 1.0} if digests else {}
    fingerprint = replace(made, relatives=digests, parameters={**made.parameters, **near})
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


TOO_DEEP = "54001"


def tamper(where: Registry | Place, *statements: str) -> bool:
    """Changes a registry behind its back.

    Returns:
        Whether that could be done: a server keeps values of another type out of a column, and
        documents that are too deep for it.
    """
    try:
        execute(place_of(where) if isinstance(where, Registry) else where, *statements)
    except DBAPIError as error:
        if not isinstance(error, DataError) and getattr(error.orig, "sqlstate", "") != TOO_DEEP:
            raise
        return False
    return True


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
