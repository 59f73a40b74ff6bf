"""A dossier as everything a report shows: words, rows and pictures, and no HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fingerprint.readable import NONE, when
from fingerprint.text import clean
from registry.lineage import Edge, Lineage, Node
from registry.reports import words
from registry.reports.commitment import PolicyRow, commitment, policies
from registry.reports.probes import Shot, are_large, are_pictures, moved_by, of_source, shots
from registry.reports.tables import (
    ROWS,
    SPEAKS_FOR,
    Asked,
    CandidateRow,
    Criterion,
    Log,
    Point,
    Strip,
    asked_of,
    candidate_rows,
    criteria,
    logs,
    points,
    strips,
)

if TYPE_CHECKING:
    from fingerprint.verification import Verification
    from registry.reports.dossier import Dossier

__all__ = ["Facts", "Family", "Gallery", "View", "view_of"]

Facts = tuple[tuple[str, str], ...]
"""Names and values, as text."""
_LARGEST_FAMILY = 60


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures of the first probes of one depth; fewer, and larger ones, where inputs are large."""

    depth: str
    speaks_for: str
    large: bool
    shots: tuple[Shot, ...]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Where the suspect stands among registered models.

    Attributes:
        lineage: The part that is drawn, with the suspect in it.
        suspect: What it is called there.
        said: The same in words.
    """

    lineage: Lineage
    suspect: str
    said: str


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything a report shows, in its order."""

    title: str
    question: str
    sentence: str
    verdict: str
    reason: str
    about: Facts
    policies: tuple[PolicyRow, ...]
    suspect: Facts
    candidates: tuple[CandidateRow, ...]
    more: int
    strips: tuple[Strip, ...]
    points: tuple[Point, ...]
    family: Family
    subject: str
    galleries: tuple[Gallery, ...]
    no_pictures: str
    commitment: Facts
    criteria: tuple[Criterion, ...]
    error_rates: tuple[str, ...]
    queries: Facts
    asked: Asked | None
    logs: tuple[Log, ...]
    weights: tuple[str, ...]
    untested: tuple[str, ...]
    unsaid: tuple[str, ...]
    warnings: tuple[str, ...]
    check: Facts


def view_of(dossier: Dossier, *, made: str, release: str = "", pictures: bool = True) -> View:
    """Returns what a report of a dossier shows.

    Args:
        dossier: What is known of a verdict.
        made: When the report is made, ISO 8601.
        release: Of the program.
        pictures: Whether probes are shown: who has seen them could train against them.
    """
    result = dossier.verification
    name = words.suspect_name(result)
    galleries, none = _galleries(dossier) if pictures else ((), "They were left out on request.")
    asked = asked_of(dossier)
    return View(
        title=f"{name}: {result.verdict}",
        question=words.question(result),
        sentence=words.sentence(result),
        verdict=result.verdict,
        reason=clean(result.reason, 1000),
        about=_about(dossier, made, release),
        policies=policies(dossier),
        suspect=_suspect(dossier, name),
        candidates=candidate_rows(dossier),
        more=max(0, len(result.candidates) - ROWS),
        strips=strips(dossier),
        points=points(dossier),
        family=_family(dossier),
        subject=clean(dossier.subject or ""),
        galleries=galleries,
        no_pictures=none,
        commitment=commitment(dossier),
        criteria=criteria(dossier),
        error_rates=tuple(words.error_rates(result, _side(dossier))),
        queries=_queries(dossier, asked),
        asked=asked,
        logs=logs(dossier),
        weights=tuple(
            f"{clean(one.name)}: {one.verdict.replace('_', ' ')}, {clean(one.reason, 300)}"
            for one in result.weights
        ),
        untested=tuple(words.untested(result)),
        unsaid=tuple(words.unsaid(result)),
        warnings=tuple(clean(line, 500) for line in result.warnings),
        check=_check(dossier),
    )


def _side(dossier: Dossier) -> int:
    """Returns the longer side of the inputs in pixels; 0 where they are no pictures."""
    # Answers on file say nothing of inputs, nor do some records of earlier releases: then those of
    # the probes that were asked.
    asked = (one.input.to_dict() for one in dossier.fingerprints.values())
    kept = dossier.verification.suspect.get("input")
    spec = kept if isinstance(kept, Mapping) else next(asked, {})
    return max(spec["shape"][-2:]) if spec.get("kind") == "pixels" else 0


def _about(dossier: Dossier, made: str, release: str) -> Facts:
    number_ = dossier.verification.verification
    verdict = "not recorded" if number_ is None else f"no. {number_}"
    given = f", given {when(dossier.recorded)} UTC" if dossier.recorded else ""
    return (
        ("Verdict", f"{verdict}{given}"),
        ("Registry", clean(dossier.where, 200)),
        ("Report made", f"{when(made)} UTC{f' by nullprint {clean(release)}' if release else ''}"),
    )


def _suspect(dossier: Dossier, name: str) -> Facts:
    facts = dossier.verification.suspect
    known = [
        ("Called", name),
        ("File", clean(facts["file"], 500) if facts.get("file") else ""),
        ("Architecture", clean(facts.get("architecture") or "", 200)),
        ("Takes", _shape(facts.get("input"))),
        ("Answers with", _answers(facts.get("output")) + _pooled(facts.get("graph"))),
        ("Sandbox it ran in", clean(facts.get("sandbox") or "")),
        ("Answers were given as", clean(facts.get("said") or "", 200)),
        ("On the way to its model", words.on_the_way(dossier.verification)),
        ("File SHA-256", clean(facts.get("file_sha256") or "not known")),
        ("Digest of its weights", clean(dossier.suspect_digest or "not known")),
    ]
    return tuple((what, value) for what, value in known if value)


def _shape(spec: object) -> str:
    if not isinstance(spec, dict) or not isinstance(spec.get("shape"), list):
        return ""
    return f"{' × '.join(map(clean, spec['shape'][:8]))} {clean(spec.get('kind', ''))}"


def _answers(spec: object) -> str:
    if not isinstance(spec, dict):
        return ""
    return f"{clean(spec.get('classes', NONE))} {clean(spec.get('kind', ''))}"


def _pooled(graph: object) -> str:
    statistics = isinstance(graph, dict) and graph.get("pooled") is True
    return ": statistics of what it found in a picture" if statistics else ""


def _queries(dossier: Dossier, asked: Asked | None) -> Facts:
    result = dossier.verification
    facts = [("Inputs asked", str(result.queries))]
    if result.candidates:
        said = result.suspect.get("answers", result.candidates[0].answer_kind)
        facts.append(("Kind of answers", clean(said)))
    decimals = 1 if result.seconds < 100 else 0
    facts.append(("Took", f"{result.seconds:.{decimals}f} s"))
    if asked is None:
        facts.append(("Which", "not known any more: the probes of that time are not at hand"))
        return tuple(facts)
    fits = asked.inputs + asked.repeated == result.queries
    listed = f"{asked.inputs} different inputs, {asked.repeated} of them twice"
    facts += [
        ("Listed below", f"{listed}: all that was asked" if fits else listed),
        ("SHA-256 over the list", asked.digest),
    ]
    return tuple(facts)


def _galleries(dossier: Dossier) -> tuple[tuple[Gallery, ...], str]:
    """Returns pictures of the subject's probes, or why there are none."""
    name = dossier.subject
    if name is None:
        return (), "The probes that the suspect was asked are not at hand, or there were none."
    fingerprint = dossier.fingerprints[name]
    if not are_pictures(fingerprint):
        return (), "The inputs of these models are no pictures."
    (candidate,) = (one for one in dossier.verification.candidates if one.name == name)
    source = of_source(fingerprint)
    return tuple(
        Gallery(
            depth=clean(one.depth or NONE),
            speaks_for=SPEAKS_FOR.get(one.speaks_for or "", ""),
            large=are_large(fingerprint),
            shots=shots(
                fingerprint,
                one.depth or "",
                source.get(one.depth or "", []),
                moved_by(one),
            ),
        )
        for one in candidate.findings
        if one.test == "harm_ratio"
    ), ""


def _family(dossier: Dossier) -> Family:
    """Puts the suspect among the registered models it was found to be joined to."""
    result, lineage = dossier.verification, dossier.lineage
    there = {node.name: node for node in lineage.nodes}
    suspect = "this suspect"
    while suspect in there:
        suspect += "*"
    claimed = [one for one in result.candidates if one.verdict in ("same", "derived")]
    known = [one for one in claimed if one.name in there]
    edges = tuple(_edge(result, one.name, suspect) for one in known)
    first = there.get(known[0].name) if known else None
    node = Node(
        name=suspect,
        model_digest="",
        family=-1 if first is None else first.family,
        generation=0 if first is None else first.generation + edges[0].directed,
    )
    near = [one.name for one in known] or [
        one.name for one in result.candidates if one.name in there
    ][:1]
    nodes = _placed(lineage, near, node)
    kept = {one.name for one in nodes}
    drawn = replace(
        lineage,
        nodes=nodes,
        edges=tuple(
            one for one in (*edges, *lineage.edges) if one.source in kept and one.target in kept
        ),
        contradictions=(),
    )
    return Family(lineage=drawn, suspect=suspect, said=_joined(result, len(claimed), len(known)))


def _edge(result: Verification, name: str, suspect: str) -> Edge:
    """Returns what joins the suspect to a model it matches: an arrow only where it descends."""
    one = next(one for one in result.candidates if one.name == name)
    descends = one.relation == "descends" and name == result.best
    return Edge(
        kind="declared" if descends else "measured",
        source=name,
        target=suspect,
        verdict=one.verdict,
        harm_ratio=one.harm_ratio,
    )


def _placed(lineage: Lineage, near: list[str], suspect: Node) -> tuple[Node, ...]:
    """Returns the models connected with some, and the suspect below the first of them."""
    kept: dict[str, None] = {}
    for name in near:
        kept |= dict.fromkeys(one.name for one in lineage.part(name).nodes)
    if len(kept) > _LARGEST_FAMILY:
        kept = dict.fromkeys(near[:_LARGEST_FAMILY])
    nodes = [one for one in lineage.nodes if one.name in kept]
    place = next((at for at, one in enumerate(nodes) if near and one.name == near[0]), -1)
    return (*nodes[: place + 1], suspect, *nodes[place + 1 :])


def _joined(result: Verification, claimed: int, known: int) -> str:
    if not claimed:
        return "The suspect is joined to no registered model; the nearest is drawn beside it."
    if known < claimed:
        return "Models that the suspect matches are no longer registered, and are not drawn."
    best = next((one for one in result.candidates if one.name == result.best), None)
    if best is not None and best.relation == "descends":
        return f"The arrow leads from {clean(best.name)} to the suspect, which descends from it."
    return (
        "The suspect's arcs have no direction: answers alone do not say which of two models came "
        "first."
    )


def _check(dossier: Dossier) -> Facts:
    """Returns what ties the verdict to its registry, and how to compare."""
    head = f"{dossier.head.seq}:{dossier.head.digest}"
    chain = [
        ("Chain starts from", dossier.start),
        ("Chain ended, when this was made, at", head),
    ]
    entry = dossier.entry
    if entry is None:
        return (("Recorded", "no: this page is all there is of the verdict"), *chain)
    return (
        ("Entry of the hash chain", f"{entry.seq}, {when(entry.created)} UTC"),
        ("Its digest", clean(entry.digest)),
        *chain,
        (
            "To compare",
            f"fp registry check --head {head}; fp report {entry.payload['number']} -o FILE",
        ),
    )
