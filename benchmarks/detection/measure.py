"""Measures every pair of a source and a suspect of one half, and writes the results file.

    python -m benchmarks.detection.measure --work WORK [--data DIR] [--half HALF] [--out FILE]

Every base network is a source for everybody of its half (:mod:`benchmarks.detection.split`): a
source with its own copies makes related pairs, all others are independent. What has been measured
is kept under ``WORK/measured`` and not measured again, so that a run goes on where it stopped; a
fingerprint that is made again measures its pairs again. The rival methods, and other numbers of
probes than the default, are measured on the half that reports.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import hashlib
import json
import math
import platform
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.data import load_data
from benchmarks.detection.methods import BUDGETS, Method, Prepared, WeightCosine, baselines
from benchmarks.detection.methods import harmless as ours
from benchmarks.detection.split import HALVES, Half, members_of
from benchmarks.detection.zoo import Member, members, stem
from benchmarks.report import machine
from fingerprint import Fingerprint, Verification, extract
from fingerprint.evidence.calibration import depth_class
from fingerprint.evidence.equality import Equality
from fingerprint.evidence.resemblance import Resemblance
from fingerprint.files import write_whole
from fingerprint.lab.data import Data
from fingerprint.probes.codec import decode, encode

__all__ = ["ALPHA", "SEED", "Bench", "document", "facts", "main", "write_document"]

SEED = "detection benchmark"
ALPHA = 0.001
CANDIDATES = (1, 2, 4, 8)
"""Numbers of candidates that the cost of a verification is counted for."""
_RECORD = 2
"""What is kept of a pair; where it changes, pairs are measured again."""
RESULTS = Path(__file__).parent / "results.json"


@dataclasses.dataclass(frozen=True)
class Source:
    """A base network with everything that is asked about it.

    Attributes:
        member: The network.
        fingerprint: Its probes.
        prepared: The baselines' queries, by name of method.
    """

    member: Member
    fingerprint: Fingerprint
    prepared: Mapping[str, Any]


class Bench:
    """Prepares sources and measures suspects, remembering both in files.

    Args:
        data: Images that the baselines draw their queries from.
        directory: Where the zoo is; the measurements go into a folder there.
        methods: The baselines.
        probes: Of each fingerprint.
        lengths: Numbers of probes to verify with; :data:`harmless.DEFAULT_PROBES` is among them.
        device: Where sources are registered and suspects answer.
    """

    def __init__(
        self,
        data: Data,
        directory: Path,
        methods: Sequence[Method] | None = None,
        *,
        probes: int = ours.PROBES,
        lengths: Sequence[int] = ours.LENGTHS,
        device: str = "cpu",
    ) -> None:
        self.data = data
        self.device = device
        self.probes = probes
        self.directory = directory / "measured"
        self.methods = tuple(baselines() if methods is None else methods)
        self.lengths = tuple(lengths)
        self.directory.mkdir(parents=True, exist_ok=True)

    def source(self, member: Member) -> Source:
        """Registers a base network, or reads what was registered before."""
        path = self._path(member, "fingerprint", "bin")
        if path.exists():
            fingerprint = decode(path.read_bytes())
        else:
            model = ours.as_model(member.network(), self.data.input_size, self.device)
            fingerprint = extract(model, seed=SEED, probes=self.probes)
            write_whole(path, lambda stream: stream.write(encode(fingerprint)))
        prepared = {method.name: self._prepared(member, method) for method in self.methods}
        return Source(member, fingerprint, prepared)

    def _prepared(self, member: Member, method: Method) -> Any:
        """Returns a baseline's queries; those of black-box methods are kept in a file."""
        path = self._path(member, method.name, "npz")
        if path.exists():
            with np.load(path) as kept:
                return Prepared(
                    queries=kept["queries"],
                    answers=torch.from_numpy(kept["answers"]),
                    note=str(kept["note"]),
                )
        made = method.prepare(member.network(), self.data, queries=max(BUDGETS), seed=0)
        if isinstance(made, Prepared):
            answers = made.answers.numpy()
            write_whole(
                path,
                lambda stream: np.savez(
                    stream, queries=made.queries, answers=answers, note=made.note
                ),
            )
        return made

    def pairs(self, sources: Sequence[Source], suspect: Member) -> list[dict[str, Any]]:
        """Measures a suspect against all sources; what is known of it is not measured again."""
        path = self._path(suspect, "pairs", "json")
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        missing = [source for source in sources if _key(source) not in known]
        if missing:
            network = suspect.network()
            asked = ours.remembering(network, self.data.input_size, self.device)
            for source in missing:
                known[_key(source)] = self._pair(source, suspect, network, asked)
            write_whole(path, lambda stream: stream.write(json.dumps(known).encode()))
        return [known[_key(source)] for source in sources]

    def _pair(
        self, source: Source, suspect: Member, network: torch.nn.Module, asked: ours.Remembering
    ) -> dict[str, Any]:
        found: dict[str, dict[int, float | None]] = {
            "harmless": ours.scores(source.fingerprint, asked)
        }
        for method in self.methods:
            budgets = (0,) if isinstance(method, WeightCosine) else BUDGETS
            prepared = source.prepared[method.name]
            found[method.name] = method.scores(prepared, network, budgets)
        by_length = ours.by_length(source.fingerprint, asked, self.lengths)
        said = {kind: found[ours.DEFAULT_PROBES] for kind, found in by_length.items()}
        return {
            "source": source.member.name,
            "suspect": suspect.name,
            "related": source.member.name in suspect.kin,
            "scores": {
                name: {str(budget): _rounded(score) for budget, score in by_budget.items()}
                for name, by_budget in found.items()
            },
            "p_exchangeable": _rounded(ours.p_exchangeable(source.fingerprint, asked)),
            "p_margin": _rounded(ours.joint_p(said["logits"].candidates[0].findings)),
            "verdicts": {kind: _verdict(verification) for kind, verification in said.items()},
            "power": {kind: _power(found) for kind, found in by_length.items()},
        }

    def _path(self, member: Member, what: str, suffix: str) -> Path:
        return self.directory / f"{stem(f'{member.name}__{what}')}.{suffix}"


def document(
    bench: Bench,
    zoo: Sequence[Member],
    made: Mapping[str, Any],
    *,
    chosen: Callable[[Member], bool] = lambda _: True,
    progress: bool = True,
) -> dict[str, Any]:
    """Measures a zoo and returns the results document.

    Args:
        bench: Prepares and measures.
        zoo: The networks; base networks are the sources, as far as they are chosen.
        made: Facts of how the document came about.
        chosen: Which base networks are sources.
        progress: Whether to print a line for each source and suspect.
    """
    bases = [member for member in zoo if member.name == member.base and chosen(member)]
    sources = []
    for place, member in enumerate(bases, start=1):
        if progress:
            print(f"source {place}/{len(bases)}: {member.name}", flush=True)
        sources.append(bench.source(member))
    pairs = []
    for place, suspect in enumerate(zoo, start=1):
        if progress:
            print(f"suspect {place}/{len(zoo)}: {suspect.name}", flush=True)
        pairs += bench.pairs(sources, suspect)
    return {
        "schema": 1,
        "made": dict(made),
        "budgets": list(BUDGETS),
        "alpha": ALPHA,
        "members": [_member(member) for member in zoo],
        "sources": [_source(source) for source in sources],
        "costs": [
            _cost(sources[:candidates], probes)
            for candidates in CANDIDATES
            if candidates <= len(sources)
            for probes in bench.lengths
        ],
        "pairs": pairs,
    }


def _cost(sources: Sequence[Source], probes: int) -> dict[str, Any]:
    """Counts what asking about all of these costs."""
    return {
        "candidates": len(sources),
        "probes": probes,
        "asked": ours.asked({one.member.name: one.fingerprint for one in sources}, probes),
    }


def _member(member: Member) -> dict[str, Any]:
    facts = ("name", "base", "kin", "modification", "group", "architecture", "source", "accuracy")
    learned = {"teacher": member.teacher} if member.teacher else {}
    return {fact: getattr(member, fact) for fact in (*facts, "classes")} | learned


def _source(source: Source) -> dict[str, Any]:
    fingerprint = source.fingerprint
    return {
        "name": source.member.name,
        "architecture": source.member.architecture,
        "start": fingerprint.start,
        "depths": [[one.name, depth_class(one), one.share] for one in fingerprint.depths],
        "probes": ours.DEFAULT_PROBES,
        "seconds": _rounded(fingerprint.cost["seconds"]),
        "passes_per_probe": _rounded(fingerprint.cost["passes"] / len(fingerprint.probes)),
        "own_ratio_median": _rounded(fingerprint.source_harm_ratio["median"]),
    }


def _power(by_length: Mapping[int, Verification]) -> dict[str, Any]:
    """Returns the p-value by number of probes, and the numbers that a claim was made with."""
    found = {probes: one.candidates[0] for probes, one in by_length.items()}
    return {
        "p": {str(probes): _rounded(ours.joint_p(one.findings)) for probes, one in found.items()},
        "claimed": [p for p, one in found.items() if one.verdict in ("same", "derived")],
    }


def _verdict(verification: Verification) -> dict[str, Any]:
    candidate = verification.candidates[0]
    low, high = candidate.harm_ratio_ci or (None, None)
    tests = {finding.test: finding for finding in candidate.findings}
    resemblance, equality = tests.get(Resemblance.name), tests.get(Equality.name)
    return {
        "verdict": candidate.verdict,
        "ratio": _rounded(candidate.harm_ratio),
        "low": _rounded(low),
        "high": _rounded(high),
        "p": _rounded(candidate.p_value),
        "margin": _rounded(candidate.margin),
        "queries": verification.queries,
        "depths": {
            finding.depth: [
                _rounded(value) for value in (finding.statistic, *finding.interval, finding.p_value)
            ]
            for finding in candidate.findings
            if finding.depth is not None and finding.interval is not None
        },
        "resemblance": _rounded(resemblance.statistic) if resemblance else None,
        "resemblance_p": _rounded(resemblance.p_value) if resemblance else None,
        "equal": bool(equality.detail["equal"]) if equality else None,
    }


def _rounded(value: float | None) -> float | None:
    """Keeps four digits: the results are read by people and kept in version control."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.4g}")


def _key(source: Source) -> str:
    probes = json.dumps(source.fingerprint.to_dict()["per_probe"], sort_keys=True)
    digest = source.fingerprint.model_digest[:16]
    return f"{source.member.name}|{digest}|{_hash(probes)}|{_RECORD}"


def _hash(text: str) -> str:
    """Returns a short digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def facts(
    data: Data,
    half: Half,
    zoo: Sequence[Member],
    sources: Sequence[Mapping[str, Any]],
    seconds: float,
) -> dict[str, Any]:
    """Returns how and on what the results were made."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent,
    ).stdout.strip()
    training = sum(member.seconds for member in zoo) / 60
    registering = sum(source["seconds"] for source in sources) / 60
    return {
        "command": "make detection",
        "half": half,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": commit or "unknown",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": machine(),
        "data": f"{data.name}: {len(data.train_images)} training, {len(data.test_images)} test "
        "images",
        "minutes (wall clock, on a busy machine)": f"{training:.0f} training networks, "
        f"{registering:.0f} registering sources, {seconds / 60:.0f} in the last run of measuring",
    }


def main() -> None:
    """Measures what the zoo holds and writes the results file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, help="has cifar10_sample.npz; digits without it")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the results file")
    parser.add_argument("--half", choices=HALVES, default="reporting")
    options = parser.parse_args()
    torch.set_num_threads(1)
    began = time.monotonic()
    data = load_data(options.data)
    zoo = members_of(members(options.work), options.half)
    if options.half == "reporting":
        bench = Bench(data, options.work)
    else:
        bench = Bench(data, options.work, methods=(), lengths=(ours.DEFAULT_PROBES,))
    made = document(bench, zoo, {})
    seconds = time.monotonic() - began
    made["made"] = facts(data, options.half, zoo, made["sources"], seconds)
    write_document(made, options.out)


def write_document(document: Mapping[str, Any], out: Path) -> None:
    """Writes a results document, and says so."""
    text = json.dumps(document, indent=1) + "\n"
    write_whole(out, lambda stream: stream.write(text.encode()))
    print(f"wrote {out}: {len(document['pairs'])} pairs")


if __name__ == "__main__":
    main()
