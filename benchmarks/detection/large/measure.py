"""Measures the zoo at 224 pixels, and writes the results file.

    python -m benchmarks.detection.large.measure --work WORK --data DIR [--out FILE] \
        [--device cuda]

Each published network is registered with default settings and everybody is asked about it, as in
:mod:`benchmarks.detection.measure`. Nothing was chosen at this size: margins come from the 32
pixels, and the threshold of a source's detection rate from the other sources. Then fine-tunes are
registered with their parent, and everybody of their line is asked who they are. What has been
measured is kept under ``WORK/measured``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.data import load_data
from benchmarks.detection import measure
from benchmarks.detection.large.networks import photographs, scale, untrained
from benchmarks.detection.large.plan import learns, plan
from benchmarks.detection.methods import harmless as ours
from benchmarks.detection.recipe import STUDENT, Recipe
from benchmarks.detection.zoo import Member, members, stem
from benchmarks.efficientnet_lite import SIDE
from benchmarks.families.members import Family, Role, Suspect
from benchmarks.families.table import measure as asked
from benchmarks.families.table import registered, row
from fingerprint import Model, load_model
from fingerprint.files import write_whole
from fingerprint.progress import Progress, silent
from registry import Registry

__all__ = ["RESULTS", "main", "role", "siblings"]

RESULTS = Path(measure.__file__).with_name("results224.json")
CHILDREN = ("fine-tuned, all layers, SGD 1e-2",)
"""Fine-tunes of the first source that are registered with it."""
_SIZE = (3, SIDE, SIDE)
_STRANGERS = ("lite1/fine-tuned, all layers, SGD 1e-2", "lite0 from scratch 0")


@dataclass(frozen=True)
class _Stored:
    """A member of the zoo where a family wants a network, and where it is to run."""

    member: Member
    device: str

    def model(self, folder: Path, progress: Progress = silent) -> Model:
        """Loads it; see :meth:`benchmarks.families.members.Network.model`.

        From its file, where it has weights: individual probes take the parent's.
        """
        del folder, progress
        one = self.member
        if one.file.suffix == ".onnx":
            return ours.as_model(one.network(), _SIZE, self.device)
        arch = f"{untrained.__module__}:untrained,architecture={one.architecture!r}"
        arch = f"{arch},classes={one.classes}"
        return load_model(one.file, arch=arch, input_size=_SIZE, device=self.device)


def role(recipe: Recipe, child: Recipe) -> Role | None:
    """Says what a network is to a registered fine-tune; None for its students.

    Args:
        recipe: Of the network.
        child: Of the fine-tune.
    """
    if recipe.name == child.name:
        return "itself"
    if child.name in recipe.needs:
        if recipe.group == STUDENT or recipe.teacher:
            return None
        return "further" if learns(recipe) or len(recipe.needs) > 1 else "copy"
    return "relative" if child.base in recipe.kin else "stranger"


def siblings(
    zoo: Mapping[str, Member],
    recipes: Mapping[str, Recipe],
    child: str,
    directory: Path,
    device: str = "cpu",
) -> Iterator[dict[str, Any]]:
    """Registers a fine-tune and its parent, and asks everybody of their line.

    Args:
        zoo: What there is, by name.
        recipes: The plan, by name.
        child: Name of the fine-tune.
        directory: Where the registry and what was measured are kept.
        device: Where everybody runs.

    Yields:
        Rows as :func:`benchmarks.families.table.row` writes them.
    """
    parent = recipes[child].base
    kept = directory / f"{stem(child)}__family.json"
    known = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    with Registry(directory / f"{stem(child)}__family.db") as registry:
        for name, member in zoo.items():
            found = role(recipes[name], recipes[child])
            if found is None or (found == "stranger" and name not in _STRANGERS):
                continue
            family = Family(
                name=child,
                parent=_Stored(zoo[parent], device),
                public=True,
                half="reporting",
                child=_Stored(zoo[child], device),
                suspects=(Suspect(name, found, _Stored(member, device)),),
            )
            if name not in known:
                if family.called not in {one.name for one in registry.models()}:
                    registered(family, registry, directory, parent_known=True)
                (outcome,) = asked(family, registry, directory, parent_known=True)
                known[name] = row(family, outcome, parent_known=True)
                write_whole(kept, lambda stream: stream.write(json.dumps(known).encode()))
                print(f"{child} | {name}: {known[name]['verdict']}", flush=True)
            yield known[name]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what the zoo holds and writes the results file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.large.measure",
        description=(__doc__ or "").partition("\n")[0],
    )
    parser.add_argument("--work", type=Path, required=True, help="where the zoo was built")
    parser.add_argument("--data", type=Path, required=True, help="has the images")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the results file")
    parser.add_argument("--device", default="cpu", help="where everybody runs")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    began = time.monotonic()
    small = load_data(options.data)
    zoo = members(options.work, scale(options.data))
    probes = ours.DEFAULT_PROBES
    pictures = photographs(options.data)
    bench = measure.Bench(
        pictures, options.work, (), probes=probes, lengths=(probes,), device=options.device
    )
    document = measure.document(bench, zoo, {}, chosen=lambda member: member.source)
    by_name = {member.name: member for member in zoo}
    recipes = {recipe.name: recipe for recipe in plan(small)}
    document["families"] = [
        line
        for child in (f"lite0/{name}" for name in CHILDREN)
        if child in by_name
        for line in siblings(by_name, recipes, child, bench.directory, options.device)
    ]
    seconds = time.monotonic() - began
    facts = measure.facts(small, "reporting", zoo, document["sources"], seconds)
    document["made"] = facts | {"command": "python -m benchmarks.detection.large.measure"}
    measure.write_document(document, options.out)


if __name__ == "__main__":
    main()
