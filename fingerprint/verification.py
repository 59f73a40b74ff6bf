"""The values a verification returns: findings about each candidate, and the verdict over all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fingerprint.errors import MalformedFile
from fingerprint.evidence.channel import Channel
from fingerprint.evidence.finding import Finding, finite, interval_of, number_of, text_of
from fingerprint.text import clean
from fingerprint.weights.finding import WeightsFinding

__all__ = ["Candidate", "Commitment", "Relation", "Verdict", "Verification"]

Verdict = Literal["same", "derived", "independent", "inconclusive"]
Relation = Literal["descends", "shares_origin"]

_VERDICTS: dict[str, Verdict] = {
    "same": "same",
    "derived": "derived",
    "independent": "independent",
    "inconclusive": "inconclusive",
}
_RELATIONS: dict[str | None, Relation | None] = {
    None: None,
    "descends": "descends",
    "shares_origin": "shares_origin",
}


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What the answers say about one registered model.

    The numbers are those of the finding that decided, None where none is evidence: of probes; or of
    the panel, where the model was registered by its answers alone and has no probes.

    Attributes:
        name: The registered model.
        verdict: same, derived, independent or inconclusive.
        relation: Of a derived candidate: ``descends`` (the suspect from it) or
            ``shares_origin`` (one descends from the other, or both from a third); else None.
        reason: One sentence: why.
        harm_ratio: Geometric mean of ρ; None where the panel decided.
        harm_ratio_ci: Its confidence interval.
        resemblance: Of the panel's answers, where the panel decided; else None.
        resemblance_ci: Its confidence interval.
        p_value: Of the permutation test, corrected over kinds of probe and over all compatible
            candidates (Holm).
        margin: m₀, the ratio below which independent models do not fall, or the resemblance above
            which they do not rise.
        margin_source: Where m₀ comes from: ``default``, ``registry``, ``copies`` or another, see
            :class:`fingerprint.evidence.calibration.Margin`.
        margin_pairs: How many independent models are known to have been asked its probes.
        margin_floor: False-positive rate that these models can vouch for by themselves.
        answer_kind: ``logits``, ``probabilities``, ``top-k`` or ``labels``.
        label_agreement: Share of probes on which suspect and source name the same class; None
            when the label spaces differ.
        identical_weights: Whether the suspect declares the candidate's very weights.
        reference: Whether it is a public model that explains and calibrates: it is never the
            verdict, and no policy on another model waits for it.
        findings: What each test says, with uncorrected p-values.
    """

    name: str
    verdict: Verdict
    reason: str
    relation: Relation | None = None
    harm_ratio: float | None = None
    harm_ratio_ci: tuple[float, float] | None = None
    resemblance: float | None = None
    resemblance_ci: tuple[float, float] | None = None
    p_value: float | None = None
    margin: float | None = None
    margin_source: str | None = None
    margin_pairs: int = 0
    margin_floor: float = 1.0
    answer_kind: str = "logits"
    label_agreement: float | None = None
    identical_weights: bool = False
    reference: bool = False
    findings: tuple[Finding, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract."""
        return {
            "name": self.name,
            "verdict": self.verdict,
            "relation": self.relation,
            "reason": self.reason,
            "harm_ratio": finite(self.harm_ratio),
            "harm_ratio_ci": _ends(self.harm_ratio_ci),
            "resemblance": finite(self.resemblance),
            "resemblance_ci": _ends(self.resemblance_ci),
            "p_value": self.p_value,
            "margin": self.margin,
            "margin_source": self.margin_source,
            "margin_pairs": self.margin_pairs,
            "margin_floor": self.margin_floor,
            "answer_kind": self.answer_kind,
            "label_agreement": self.label_agreement,
            "identical_weights": self.identical_weights,
            "reference": self.reference,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Candidate:
        """Builds a candidate from :meth:`to_dict`'s values, or from those of schema 1."""
        findings = values.get("findings")
        source = text_of(values["margin_source"])
        return cls(
            name=str(values["name"]),
            verdict=_VERDICTS[values["verdict"]],
            relation=_RELATIONS[values.get("relation")],
            reason=str(values["reason"]),
            **_numbers(values),
            p_value=number_of(values["p_value"]),
            margin=number_of(values["margin"]),
            margin_source="surrogates" if source == "decoys" else source,
            margin_pairs=int(values.get("margin_pairs", 0)),
            margin_floor=float(values.get("margin_floor", 1.0)),
            answer_kind=str(values["answer_kind"]),
            label_agreement=number_of(values["label_agreement"]),
            identical_weights=bool(values.get("identical_weights", False)),
            reference=bool(values.get("reference", False)),
            findings=_of_schema_1(values)
            if findings is None
            else tuple(Finding.from_dict(finding) for finding in findings),
        )


def _ends(interval: tuple[float, float] | None) -> list[float | None] | None:
    return None if interval is None else [finite(end) for end in interval]


def _numbers(values: Mapping[str, Any]) -> dict[str, Any]:
    """Reads the statistic that decided.

    Before the two had fields of their own, a resemblance stood where a harm ratio does.
    """
    ratio, interval = number_of(values["harm_ratio"]), interval_of(values["harm_ratio_ci"])
    tests = {one["test"] for one in values.get("findings", ())}
    if "resemblance" not in values and "resemblance" in tests and "harm_ratio" not in tests:
        return {"resemblance": ratio, "resemblance_ci": interval}
    return {
        "harm_ratio": ratio,
        "harm_ratio_ci": interval,
        "resemblance": number_of(values.get("resemblance")),
        "resemblance_ci": interval_of(values.get("resemblance_ci")),
    }


def _of_schema_1(values: Mapping[str, Any]) -> tuple[Finding, ...]:
    """Returns the probes of a candidate of schema 1, a finding for each kind, not yet judged."""
    rows = [dict(row) for row in values.get("per_probe", ())]
    return tuple(
        Finding(
            test="harm_ratio",
            depth=kind,
            used=sum(bool(row.get("used")) for row in rows if row["kind"] == kind),
            detail={"per_probe": [row for row in rows if row["kind"] == kind]},
        )
        for kind in dict.fromkeys(str(row["kind"]) for row in rows)
    )


@dataclass(frozen=True, kw_only=True)
class Commitment:
    """To what a verdict was going to rest on, made before anything was asked.

    Attributes:
        digest: SHA-256 over the criteria, in hex: who is compared, tests, margins, level, inputs.
        entry: Where it stands in the registry's chain, ``SEQ:DIGEST``; None where the registry
            could not be written.
        begun_under: The digest under which a journal was begun that answers came from, where
            that is another.
    """

    digest: str
    entry: str | None = None
    begun_under: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return dict(vars(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Commitment:
        """Builds a commitment from :meth:`to_dict`'s values."""
        return cls(
            digest=str(values["digest"]),
            entry=text_of(values["entry"]),
            begun_under=text_of(values["begun_under"]),
        )


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The answer to "whose is it?".

    Attributes:
        suspect: Facts about the suspect, plain JSON values.
        verdict: The best candidate's verdict; ``inconclusive`` when there is none.
        reason: One sentence: why.
        best: The best candidate's name; None unless the verdict is same or derived.
        queries: How many inputs the suspect was asked.
        alpha: Accepted rate of false claims, over all compatible candidates together.
        candidates: Best first.
        not_asked: Compatible models that other evidence ruled out, so that they were not asked.
        channel: What reaches the model of a suspect that is not at hand, of what it is asked; None
            where that was not asked.
        weights: What the suspect's weights say, where they are at hand: each with its own
            verdict, which is no part of this one.
        warnings: One line each.
        seconds: Wall-clock time.
        commitment: To the criteria, where a registry made one before it asked.
        verification: Its number where it was recorded; None where it was not.
    """

    suspect: Mapping[str, Any]
    verdict: Verdict
    reason: str
    best: str | None
    queries: int
    alpha: float = 0.001
    candidates: tuple[Candidate, ...] = ()
    not_asked: tuple[str, ...] = ()
    channel: Channel | None = None
    weights: tuple[WeightsFinding, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    commitment: Commitment | None = None
    verification: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values, with the keys of the documented contract (schema 2).

        Beyond the contract there are ``reason`` (of the verdict over all), ``seconds`` and
        ``commitment`` (``digest``, ``entry``, ``begun_under``; null where none was made); of a
        candidate ``resemblance``, ``resemblance_ci`` (null but where the panel decided, as of a
        model that was registered by its answers alone; ``harm_ratio`` is null there),
        ``margin_pairs``, ``margin_floor``, ``identical_weights`` and ``reference``; of a finding
        ``least_p_value`` (the least its probes could have given) and ``bound`` (above which its
        interval must lie for *independent*); and ``weights``, one of
        :class:`~fingerprint.weights.finding.WeightsFinding` for each candidate whose weights were
        to be compared: ``name``, ``verdict`` (same, shared, not_found, undecided or
        not_compared), ``reason``, ``p_value``, ``share``, ``units``, ``agree``, ``layers``,
        ``of_layers``, ``rotated`` and ``detail``; and ``channel``, null or what
        :class:`~fingerprint.evidence.channel.Channel` holds. All numbers of a candidate but
        ``margin_pairs`` and ``margin_floor`` are null where there is no evidence.
        """
        return {
            "schema": 2,
            "suspect": dict(self.suspect),
            "verification": self.verification,
            "verdict": self.verdict,
            "reason": self.reason,
            "best": self.best,
            "alpha": self.alpha,
            "queries": self.queries,
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "not_asked": list(self.not_asked),
            "channel": None if self.channel is None else self.channel.to_dict(),
            "weights": [finding.to_dict() for finding in self.weights],
            "warnings": list(self.warnings),
            "seconds": self.seconds,
            "commitment": None if self.commitment is None else self.commitment.to_dict(),
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> Verification:
        """Reads what :meth:`to_dict` wrote, and what releases before it wrote as schema 1.

        Raises:
            MalformedFile: The document is of another schema, or damaged.
        """
        schema = document.get("schema")
        if schema not in (1, 2):
            raise MalformedFile(
                f"verification: expected a document of schema 1 or 2, got {clean(schema)}"
            )
        channel = document.get("channel")
        commitment = document.get("commitment")
        try:
            return cls(
                suspect=dict(document["suspect"]),
                verdict=_VERDICTS[document["verdict"]],
                reason=str(document["reason"]),
                best=text_of(document["best"]),
                queries=int(document["queries"]),
                alpha=float(document.get("alpha", 0.001)),
                candidates=tuple(Candidate.from_dict(one) for one in document["candidates"]),
                not_asked=tuple(map(str, document.get("not_asked", ()))),
                channel=None if channel is None else Channel.from_dict(channel),
                weights=tuple(map(WeightsFinding.from_dict, document.get("weights", ()))),
                warnings=tuple(map(str, document["warnings"])),
                seconds=float(document.get("seconds", 0.0)),
                commitment=None if commitment is None else Commitment.from_dict(commitment),
                verification=document.get("verification"),
            )
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise MalformedFile(
                f"verification: expected a verdict with its findings, got damaged data "
                f"({clean(error)})"
            ) from error
