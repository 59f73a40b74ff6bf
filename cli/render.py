"""From values to what people read: pure functions, no terminal and no registry.

Every text that may come from a file or a registry passes through ``clean``. Numbers are
rounded for reading; ``--json`` has them in full.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from cli.tables import Fitting, facts, table
from fingerprint.readable import NONE, interval, number, p_value, when
from fingerprint.text import clean, listed
from fingerprint.verification import Candidate, Verification
from fingerprint.weights.finding import WeightsFinding

if TYPE_CHECKING:
    from fingerprint.evidence.channel import Channel
    from fingerprint.evidence.finding import Finding
    from registry import Pair, RecordedVerification, RegisteredModel

__all__ = [
    "facts",
    "interval",
    "model_facts",
    "models_table",
    "number",
    "p_value",
    "pairs_table",
    "table",
    "verdict",
    "verification",
    "verifications_table",
    "when",
]

_STYLES = {
    "same": "bold green",
    "derived": "bold yellow",
    "independent": "cyan",
    "inconclusive": "magenta",
}
_SHOWN_PAIRS = 10
_DIGEST = 16


def verdict(text: str) -> Text:
    """Returns a verdict in its colour."""
    return Text(clean(text), style=_STYLES.get(text, ""))


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.0%}"


def verification(result: Verification) -> RenderableType:
    """Returns the verdict, why, and a table of all candidates, best first."""
    sentence = Text.assemble("Verdict: ", verdict(result.verdict))
    if result.best is not None:
        sentence.append(_relation(result))
    parts: list[RenderableType] = [sentence, Text(clean(result.reason, 500))]
    if result.candidates:
        parts.append(_candidates(result.candidates))
        parts += _depths(result.candidates)
        parts += _rare_labels(result.candidates)
    if result.not_asked:
        parts.append(Text(f"ruled out unasked: {listed(result.not_asked, shown=10)}"))
    parts += _channel(result.channel)
    parts += _weights(result.weights)
    parts.append(_effort(result))
    parts += _held(result)
    if result.candidates and result.candidates[0].margin is not None:
        parts.append(_margin(result.candidates[0]))
    return Group(*parts)


def _relation(result: Verification) -> str:
    """Returns what the verdict says of the best candidate, such as `` from ours``."""
    name = clean(result.best)
    if result.verdict == "same":
        return f" as {name}"
    relation = next((one.relation for one in result.candidates if one.name == result.best), None)
    return f", shares an origin with {name}" if relation == "shares_origin" else f" from {name}"


def _candidates(candidates: Sequence[Candidate]) -> Fitting:
    headings = ["model", "verdict", "harm ratio", "p-value", "probes", "labels agree"]
    alike = any(one.resemblance is not None for one in candidates)
    if alike:
        headings.insert(3, "resemblance")
    rows = [
        (
            clean(candidate.name),
            _judged(candidate),
            interval(candidate.harm_ratio, candidate.harm_ratio_ci),
            *([interval(candidate.resemblance, candidate.resemblance_ci)] if alike else ()),
            p_value(candidate.p_value),
            str(_probes(candidate)),
            _share(candidate.label_agreement),
        )
        for candidate in candidates
    ]
    return table(headings, rows)


def _depths(candidates: Sequence[Candidate]) -> list[RenderableType]:
    """Returns a line for each candidate that has probes of several depths: its ratio at each."""
    lines: list[RenderableType] = []
    for candidate in candidates:
        harms = [
            one
            for one in candidate.findings
            if one.test == "harm_ratio" and one.statistic is not None
        ]
        if len(harms) > 1:
            shown = [f"{clean(one.depth)} {interval(one.statistic, one.interval)}" for one in harms]
            lines.append(Text(f"{clean(candidate.name)} by depth: {', '.join(shown)}", style="dim"))
    return lines


def _channel(found: Channel | None) -> list[RenderableType]:
    """Returns a line on what reaches the model of a suspect that is not at hand."""
    if found is None:
        return []
    unknown = tuple(one for one in found.reactions if one not in found.known)
    parts = (("reaches the model", found.kept), ("does not", found.lost), ("not known", unknown))
    said = [f"{what}: {', '.join(map(clean, kinds))}" for what, kinds in parts if kinds]
    line = "; ".join(said) or clean(found.missing)
    return [Text(f"on the way: {line} ({found.queries} queries)", style="dim")]


def _weights(findings: Sequence[WeightsFinding]) -> list[RenderableType]:
    """Returns a line for each candidate that shares weights, and one for all others."""
    lines: list[RenderableType] = []
    rest: dict[str, list[str]] = {}
    for one in findings:
        if one.verdict in ("same", "shared"):
            lines.append(
                Text(
                    f"weights of {clean(one.name)}: {one.verdict}, {clean(one.reason, 200)}; "
                    f"p {p_value(one.p_value)}, {one.layers} of {one.of_layers} layers compared"
                )
            )
        else:
            said = clean(one.reason, 200) if one.verdict == "not_compared" else ""
            rest.setdefault(f"{one.verdict.replace('_', ' ')}{said and f' ({said})'}", []).append(
                one.name
            )
    lines += [
        Text(f"weights {what}: {listed(names, shown=10)}", style="dim")
        for what, names in rest.items()
    ]
    return lines


def _rare_labels(candidates: Sequence[Candidate]) -> list[RenderableType]:
    """Returns a line for each candidate whose rare labels were asked, or why they were not."""
    lines: list[RenderableType] = []
    for candidate in candidates:
        for one in candidate.findings:
            if one.test == "rare_labels":
                lines.append(Text(f"{clean(candidate.name)}: {_shared(one)}", style="dim"))
    return lines


def _shared(found: Finding) -> str:
    """Returns what rare labels say of a candidate: never that weights are shared."""
    if found.margin is None or found.statistic is None:
        return f"rare labels say nothing: {clean(found.missing, 300)}"
    shares = "shares" if found.detail.get("shares") else "is not shown to share"
    return (
        f"the suspect {shares} its rare mistakes: it agrees on {_share(found.statistic)} of "
        f"{found.used} pictures that few others name so, others on {_share(found.margin.value)} at "
        f"most (p-value {p_value(found.p_value)}; {found.margin.pairs} references allow none below "
        f"{p_value(found.margin.floor)})"
    )


def _judged(candidate: Candidate) -> Text:
    """Returns the verdict on a candidate, with the relation it claims."""
    text = verdict(candidate.verdict)
    if candidate.relation is not None:
        text.append({"descends": " (descends)", "shares_origin": " (origin)"}[candidate.relation])
    return text


def _probes(candidate: Candidate) -> int:
    """Returns how many probes gave evidence."""
    return sum(one.used for one in candidate.findings if one.test == "harm_ratio")


def _effort(result: Verification) -> Text:
    """Returns what was spent, and what kind of answers it bought."""
    line = f"{result.queries} queries, {result.seconds:.1f} s"
    if result.candidates:
        said = result.suspect.get("answers", result.candidates[0].answer_kind)
        line += f"; answers: {clean(said)}"
    if result.verification is not None:
        line += f"; recorded as verification {result.verification}"
    if result.commitment is not None:
        line += f"; criteria {clean(result.commitment.digest)[:_DIGEST]}"
    return Text(line, style="dim")


def _held(result: Verification) -> list[RenderableType]:
    """Returns lines on a suspect that ran in a process of its own: what held it, what answered."""
    backend = result.suspect.get("sandbox")
    if backend is None:
        return []
    said = "ran without a sandbox" if backend == "none" else f"ran in a sandbox: {clean(backend)}"
    lines: list[RenderableType] = [Text(said, style="dim")]
    if (result.suspect.get("graph") or {}).get("pooled"):
        lines.append(Text("answered with statistics of what it found in a picture", style="dim"))
    return lines


def _margin(best: Candidate) -> Text:
    """Returns the margin the best candidate's ratio was tested at, and what it rests on."""
    one = best.margin_pairs == 1
    known = f"{best.margin_pairs or 'no'} independent {'model' if one else 'models'}"
    was = "was" if one else "were"
    line = f"margin of {clean(best.name)} {number(best.margin)} "
    if best.margin_source == "registry":
        line += f"from {known} that {was} asked its probes"
    else:
        line += f"({clean(best.margin_source)}); {known} {was} asked its probes"
    if best.margin_pairs:
        vouch = "by itself it vouches" if one else "by themselves they vouch"
        line += f": {vouch} for a false-positive rate of 1 in {round(1 / best.margin_floor)}"
    line += "; default margins rest on the benchmark in docs/detection.md"
    return Text(line, style="dim")


def models_table(models: Sequence[RegisteredModel]) -> RenderableType:
    """Returns one row for each registered model."""
    if not models:
        return Text("No models are registered; 'fp register FILE' adds one.")
    headings = ("name", "architecture", "input, answers", "probes", "parent", "registered (UTC)")
    columns: dict[str, list[str]] = {}
    if any(model.role == "reference" for model in models):
        columns["role"] = [model.role for model in models]
    if any(not model.current for model in models):
        columns["fingerprint"] = ["current" if model.current else "old" for model in models]
    if any(model.renew for model in models):
        columns["renew, because"] = [clean(model.renew, 300) for model in models]
    rows = [
        (
            clean(model.name),
            clean(model.architecture, 60),
            f"{_shape(model.input)}, {_answers(model.output)}",
            str(model.probes),
            _parent(model),
            when(model.registered),
            *(column[index] for column in columns.values()),
        )
        for index, model in enumerate(models)
    ]
    return table([*headings, *columns], rows)


def _parent(model: RegisteredModel) -> str:
    if model.parent is not None:
        return clean(model.parent)
    return "none, trained from scratch" if model.from_scratch else NONE


def model_facts(model: RegisteredModel) -> RenderableType:
    """Returns everything known of one registered model."""
    ratio = model.facts["source_harm_ratio"]
    pairs: list[tuple[str, str | Text]] = [
        ("name", Text(clean(model.name), style="bold")),
        *(("also called", clean(alias)) for alias in model.aliases),
        ("architecture", clean(model.architecture)),
        ("role", clean(model.role)),
        ("parent", _parent(model)),
        ("registered", f"{when(model.registered)} UTC"),
        *((("renewed", f"{when(model.renewed)} UTC"),) if model.renewed is not None else ()),
        *((("to be renewed", clean(model.renew, 300)),) if model.renew else ()),
        ("file", clean(model.file_path, 500) if model.file_path is not None else NONE),
        ("file sha256", clean(model.file_sha256) if model.file_sha256 is not None else NONE),
        ("model digest", clean(model.model_digest)),
        ("commitment", clean(model.commitment)),
        ("input", _shape(model.input)),
        ("answers", _answers(model.output)),
        *(("harmless space", _space(space)) for space in model.facts["spaces"]),
        ("probes", f"{model.probes}, {clean(model.facts['redrawn'])} redrawn"),
        (
            "harm ratio on itself",
            f"median {number(ratio.get('median'))}, largest {number(ratio.get('max'))}",
        ),
        ("screened against", ", ".join(map(clean, model.facts["screened_against"])) or NONE),
        ("seconds", number(model.seconds)),
        *(("warning", clean(line, 500)) for line in model.warnings),
    ]
    return facts(pairs)


def verifications_table(recorded: Sequence[RecordedVerification]) -> RenderableType:
    """Returns the verdicts a model took part in, newest first."""
    headings = ("no.", "recorded (UTC)", "suspect digest", "verdict", "best", "queries")
    rows = [
        (
            str(record.number),
            when(record.recorded),
            clean(record.suspect_digest or NONE)[:_DIGEST],
            _recorded(record),
            clean(record.best) if record.best is not None else NONE,
            str(record.queries),
        )
        for record in reversed(recorded)
    ]
    return table(headings, rows)


def _recorded(record: RecordedVerification) -> Text:
    """Returns a recorded verdict with the relation it claims; older ones claim none."""
    result = Verification.from_dict(record.evidence)
    best = next((one for one in result.candidates if one.name == record.best), None)
    return verdict(record.verdict) if best is None else _judged(best)


def pairs_table(pairs: Sequence[Pair]) -> RenderableType:
    """Returns how independent models answered a model's probes, lowest harm ratios first."""
    rows = [
        (clean(pair.other), number(pair.harm_ratio), verdict(pair.verdict))
        for pair in pairs[:_SHOWN_PAIRS]
    ]
    if not rows:
        return Text("No independent model registered later was asked its probes.")
    count = f"{len(pairs)} independent {'model' if len(pairs) == 1 else 'models'}"
    title = f"Asked its probes: {count} registered later, lowest harm ratios first"
    return Group(Text(title), table(("asked", "harm ratio", "looks"), rows))


def _shape(spec: Mapping[str, Any]) -> str:
    kind = clean(spec.get("kind", ""))
    return f"{'x'.join(map(clean, spec.get('shape', ())))} {kind}"


def _answers(spec: Mapping[str, Any]) -> str:
    return f"{clean(spec.get('classes', NONE))} {clean(spec.get('kind', ''))}"


def _space(space: Mapping[str, Any]) -> str:
    dimension, rank = space.get("dimension"), space.get("rank")
    size = "dimension not computed" if dimension is None else f"{clean(dimension)} dimensions"
    text = f"{clean(space.get('kind', ''))}: {size} of {clean(space.get('input_dimension', NONE))}"
    if rank is not None:
        text += f", rank {clean(rank)}"
    note = space.get("note")
    return f"{text} ({clean(note)})" if note else text
