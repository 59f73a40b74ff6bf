"""Registers a version of an MLflow model, and gates what may become of one.

Both write what they found as tags of the version, beside which anybody sees it:

| tag | what it says |
| --- | --- |
| ``nullprint.digest`` | content digest of its weights, or ``sha256:`` and the digest of its file |
| ``nullprint.name``, ``.fingerprint`` | its name in the registry, and its probes' commitment |
| ``nullprint.verdict``, ``.best`` | whose it is, and of which model |
| ``nullprint.verification`` | number of that verdict in the registry |
| ``nullprint.policy`` | what the last gate came to, such as ``passed: forbid theirs`` |

Whoever may write to the server can write a tag: it is a note. What counts is in the registry.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from fingerprint.errors import InputRefused, NoEvidence, UsageError
from fingerprint.mlflow.fetching import fetched, kept_models, load_source, load_suspect
from fingerprint.mlflow.server import Server
from fingerprint.mlflow.uris import ModelUri
from fingerprint.policy import Outcome, judge
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.network.model import Model
    from fingerprint.suspects.base import Suspect
    from fingerprint.verification import Verification

__all__ = ["Gated", "Keeper", "Registration", "gate", "register_version"]


class Known(Protocol):
    """What a registry knows of a model; ``registry.RegisteredModel`` does."""

    @property
    def name(self) -> str:
        """Its name there."""

    @property
    def model_digest(self) -> str:
        """Content digest of its weights."""

    @property
    def commitment(self) -> str:
        """What binds its probes."""

    @property
    def file_path(self) -> str | None:
        """The file it can be loaded from again."""


class Keeper(Protocol):
    """What is asked of a registry: ``registry.Registry`` does it, and stands above this package."""

    def model(self, name: str) -> Known:
        """Returns a registered model."""

    def verify(
        self,
        suspect: Model | Suspect,
        *,
        expect: Sequence[str] = ...,
        forbid: Sequence[str] = ...,
        alpha: float = ...,
    ) -> Verification:
        """Asks whose a suspect is."""

    def register(
        self,
        model: Model,
        *,
        name: str | None = ...,
        parent: str | None = ...,
        from_scratch: bool = ...,
        reference: bool = ...,
    ) -> Known:
        """Registers a model."""


@dataclass(frozen=True, kw_only=True)
class Registration:
    """What came of registering a version.

    Attributes:
        uri: The version, with what an alias stood for.
        model: It, as the registry knows it.
        verification: Whose it was among those registered before it.
    """

    uri: ModelUri
    model: Known
    verification: Verification


@dataclass(frozen=True, kw_only=True)
class Gated:
    """What came of gating a version.

    Attributes:
        uri: The version, with what an alias stood for.
        outcome: What all policies together come to.
        reasons: One line for each policy that does not hold.
        verification: What they were judged by.
    """

    uri: ModelUri
    outcome: Outcome
    reasons: tuple[str, ...]
    verification: Verification

    @property
    def passed(self) -> bool:
        """Whether the alias or stage was changed."""
        return self.outcome is Outcome.PASSED


def register_version(
    registry: Keeper,
    uri: str,
    *,
    folder: Path | None = None,
    name: str | None = None,
    parent: str | None = None,
    from_scratch: bool = False,
    reference: bool = False,
    alpha: float = 0.001,
    **options: Any,
) -> Registration:
    """Registers a model of an MLflow server, and writes digest, name and verdict as its tags.

    Done twice it changes nothing. Where writing the tags fails it is registered, and doing it once
    more writes them.

    Args:
        registry: Where to; a ``registry.Registry``.
        uri: As for :func:`fingerprint.mlflow.fetched`.
        folder: Where its files are kept, for the registry loads them again; by default beside the
            user's registry.
        name: In the registry; by default ``NAME-VERSION``.
        parent: The registered model it was derived from.
        from_scratch: Whether it was trained from scratch.
        reference: Whether it is a public checkpoint.
        alpha: Accepted rate of false claims, of the verdict.
        **options: What ``load_model`` or ``load_onnx_model`` is told, such as ``arch``.

    Raises:
        UsageError: There is no such model, or an option is wrong.
        InputRefused: Its files are not accepted.
        EnvironmentFailure: The server or the registry cannot be reached or written.
    """
    with fetched(uri, folder=folder or kept_models()) as found:
        model = load_source(found.path, **options)
        verification = registry.verify(model, alpha=alpha)
        known = registry.register(
            model,
            name=name or found.uri.label,
            parent=parent,
            from_scratch=from_scratch,
            reference=reference,
        )
        if known.file_path is not None and Path(known.file_path).is_relative_to(found.path):
            found.keep()
    tags = {"name": known.name, "fingerprint": known.commitment, **_tags(verification)}
    Server().tag(found.uri, tags)
    return Registration(uri=found.uri, model=known, verification=verification)


def gate(
    registry: Keeper,
    uri: str,
    *,
    alias: str = "",
    stage: str = "",
    expect: Sequence[str] = (),
    forbid: Sequence[str] = (),
    alpha: float = 0.001,
    **options: Any,
) -> Gated:
    """Gives a version an alias or a stage if, and only if, policies hold.

    The version is fetched and asked now; no tag counts as evidence. What nobody can conclude does
    not pass. Tags are written before the change is made, so what was changed has them.

    Args:
        registry: Where the models are that the policies name; a ``registry.Registry``.
        uri: A registered version: ``models:/NAME/VERSION`` or ``models:/NAME@ALIAS``.
        alias: What it is to be called; or
        stage: The stage it is to get, where a server still has them.
        expect: It must be each of these models, or derived from it.
        forbid: It must be none of these models, nor derived from one.
        alpha: Accepted rate of false claims.
        **options: What its loader is told, such as ``arch`` and ``input_size``.

    Raises:
        UsageError: There is no such version, or the call is wrong.
        InputRefused: Its files are not accepted. Nothing was changed.
        EnvironmentFailure: The server or the registry cannot be reached or written. Nothing was
            changed, unless the server failed after it did so.
    """
    if bool(alias) is bool(stage):
        raise UsageError("expected an alias or a stage to give the version, one of the two")
    if isinstance(expect, str) or isinstance(forbid, str) or not (*expect, *forbid):
        raise UsageError("expected lists of names to expect or to forbid; without, anything passes")
    if not ModelUri.parse(uri).name:
        raise UsageError(f"{clean(uri)}: expected a registered version, models:/NAME/VERSION")
    forbidden = [registry.model(one).name for one in forbid]
    expected = [registry.model(one).name for one in expect]
    with fetched(uri) as found:
        server = Server()
        try:
            suspect = load_suspect(found.path, **options)
            verification = registry.verify(suspect, expect=expected, forbid=forbidden, alpha=alpha)
        except (InputRefused, NoEvidence) as error:
            why = f"{Outcome.INCONCLUSIVE}: {type(error).__name__}"
            server.tag(found.uri, {"verdict": Outcome.INCONCLUSIVE, "best": "", "policy": why})
            raise
    judged = judge(verification, expect=expected, forbid=forbidden)
    asked = ", ".join(f"{one.policy} {one.name}" for one in judged.checks)
    server.tag(found.uri, {**_tags(verification), "policy": f"{judged.outcome}: {asked}"})
    if judged.outcome is Outcome.PASSED:
        server.move(found.uri, alias=alias, stage=stage)
    unmet = (one for one in judged.checks if one.outcome is not Outcome.PASSED)
    return Gated(
        uri=found.uri,
        outcome=judged.outcome,
        reasons=tuple(f"{one.policy} {clean(one.name)}: {one.reason}" for one in unmet),
        verification=verification,
    )


def _tags(verification: Verification) -> dict[str, str]:
    """Returns what a verdict says, as tags; every one of them, so that none of before stays."""
    digest, file = (verification.suspect.get(key) for key in ("model_digest", "file_sha256"))
    number = verification.verification
    return {
        "digest": str(digest) if digest else f"sha256:{file}",
        "verdict": verification.verdict,
        "best": verification.best or "",
        "verification": "" if number is None else str(number),
    }
