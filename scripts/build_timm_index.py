"""Builds the index of timm architectures: what each state_dict looks like.

    python scripts/build_timm_index.py --cache build/timm_index

Three steps, each kept in the cache folder line by line, so an interrupted run goes on:

1. Signatures. Every architecture is created on the meta device (no memory, no weights) with two
   class counts; names and shapes that agree are its signature, dimensions that follow the class
   count are its head.
2. Comparison. Architectures with one signature get the same pseudo-random weights, in two
   magnitudes, and answer the same inputs in float64 at the smallest size they all take. Equal
   answers make one function. Networks above ``--max-parameters`` are compared by structure
   instead (the printed module and its settings), which may split one function in two but does
   not merge two. What the present index says of a group of the same names is kept.
3. Writing. The index holds digests of names and shapes, heads, functions with their names, and
   sketches by which a file that fits none of them finds the nearest; torchvision's are there too.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import hashlib
import json
import math
import os
import re
import resource
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from torch import Tensor, nn

from fingerprint.architectures.recognition import INDEX_SCHEMA, names_digest, shapes_digest
from fingerprint.architectures.sketch import sketch

TORCHVISION = "torchvision.models:"
CLASSES = (11, 13)
SIZES = (64, 96, 128, 160, 224)
TOLERANCE = 1e-6
MAGNITUDES = (0.6, 1.5)


def main() -> None:
    """Runs the three steps."""
    options = _parse()
    torch.set_num_threads(options.threads)
    os.nice(options.nice)
    limit = options.memory * 2**30
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    warnings.filterwarnings("ignore")
    options.cache.mkdir(parents=True, exist_ok=True)
    signatures = _signatures(options.cache / "signatures.jsonl", options.only)
    groups = _groups(signatures)
    comparisons = _comparisons(
        options.cache / "comparisons.jsonl",
        groups,
        signatures,
        options.max_parameters,
        options.out,
    )
    document = _document(signatures, groups, comparisons)
    _write(options.out, document)
    entries = document["entries"]
    several = sum(len(entry["functions"]) > 1 for entry in entries)
    _say(f"{len(signatures)} architectures, {len(entries)} signatures, {several} ambiguous")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("build/timm_index"))
    out = Path(__file__).parents[1] / "fingerprint/architectures/data/timm_index.json.gz"
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--only", default="*", help="timm's wildcard, such as 'resnet*'")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--nice", type=int, default=10)
    parser.add_argument("--memory", type=int, default=8, help="address space limit in GiB")
    parser.add_argument("--max-parameters", type=float, default=1.0e8)
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- step 1: signatures ----


def _signatures(cache: Path, only: str) -> dict[str, dict[str, Any]]:
    known = {line["name"]: line for line in _lines(cache)}
    names = timm.list_models(only)
    if only == "*":
        networks = torchvision.models.list_models(module=torchvision.models)
        names += [f"{TORCHVISION}{name}" for name in networks]
    with cache.open("a") as out:
        for index, name in enumerate(names):
            if name in known:
                continue
            began = time.monotonic()
            try:
                known[name] = {"name": name, **_signature(name)}
            except Exception as error:
                known[name] = {"name": name, "error": str(error).splitlines()[:1]}
            out.write(json.dumps(known[name]) + "\n")
            out.flush()
            seconds = time.monotonic() - began
            note = known[name].get("error", "")
            _say(f"signature {index + 1}/{len(names)} {name} {seconds:.1f} s {note}")
    return {name: known[name] for name in names if "error" not in known[name]}


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if path.exists():
        for line in path.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)


def _signature(name: str) -> dict[str, Any]:
    first, second = (_meta_shapes(name, classes) for classes in CLASSES)
    if first.keys() != second.keys():
        raise ValueError("the names depend on the class count")
    heads: list[tuple[str, int]] = []
    for key, shape in first.items():
        for axis, (a, b) in enumerate(zip(shape, second[key], strict=True)):
            if a == b:
                continue
            if (a, b) != CLASSES:
                raise ValueError(f"{key} depends on the class count in another way")
            heads.append((key, axis))
    if not heads:
        raise ValueError("no head follows the class count")
    return {
        "names": names_digest(first),
        "shapes": shapes_digest(first, heads),
        "heads": heads,
        "sketch": sketch(first, heads),
        "parameters": sum(math.prod(shape) for shape in first.values()),
    }


def _meta_shapes(name: str, classes: int) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        if name.startswith(TORCHVISION):
            factory = torchvision.models.get_model_builder(name.removeprefix(TORCHVISION))
            module = factory(weights=None, num_classes=classes)
        else:
            module = timm.create_model(name, pretrained=False, num_classes=classes)
    return {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}


# ---- step 2: comparison ----


def _groups(signatures: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, signature in signatures.items():
        if name.startswith(TORCHVISION):
            continue
        groups.setdefault(f"{signature['names']}:{signature['shapes']}", []).append(name)
    return groups


def _comparisons(
    cache: Path,
    groups: dict[str, list[str]],
    signatures: dict[str, dict[str, Any]],
    max_parameters: float,
    before: Path,
) -> dict[str, dict[str, Any]]:
    known = {**_compared_before(before), **{line["group"]: line for line in _lines(cache)}}
    todo = {key: names for key, names in groups.items() if len(names) > 1}
    order = sorted(todo, key=lambda key: signatures[todo[key][0]]["parameters"])
    with cache.open("a") as out:
        for index, key in enumerate(order):
            names = todo[key]
            if sorted(known.get(key, {}).get("names", ())) == sorted(names):
                continue
            began = time.monotonic()
            small = signatures[names[0]]["parameters"] <= max_parameters
            known[key] = {"group": key, "names": names, **_compare(names, numeric=small)}
            out.write(json.dumps(known[key]) + "\n")
            out.flush()
            parts = " | ".join(" = ".join(part) for part in known[key]["functions"])
            seconds = time.monotonic() - began
            _say(
                f"compared {index + 1}/{len(order)} by {known[key]['by']} {seconds:.0f} s: {parts}"
            )
    return known


def _compared_before(index: Path) -> dict[str, dict[str, Any]]:
    """Returns the comparisons an index rests on: hours of work that need not be done again."""
    if not index.exists():
        return {}
    entries = json.loads(gzip.decompress(index.read_bytes()))["entries"]
    return {
        f"{entry['names']}:{entry['shapes']}": {
            "names": [name for names in entry["functions"] for name in names],
            "functions": entry["functions"],
            "by": entry["by"],
        }
        for entry in entries
    }


def _compare(names: list[str], *, numeric: bool) -> dict[str, Any]:
    if numeric:
        try:
            return _by_answers(names)
        except Exception as error:
            _say(f"  {names[0]}: answers cannot be compared ({str(error)[:200]}), by structure")
    return _by_structure(names)


def _by_answers(names: list[str]) -> dict[str, Any]:
    size = _common_size(names)
    answers: list[Tensor] = []
    base: dict[str, Tensor] = {}
    for name in names:
        answers.append(_answers(name, size, base))
    functions: list[list[int]] = []
    differences: list[float] = []
    for index, answer in enumerate(answers):
        gaps = [_gap(answer, answers[members[0]]) for members in functions]
        differences.extend(gaps)
        same = [members for members, gap in zip(functions, gaps, strict=True) if gap <= TOLERANCE]
        if same:
            same[0].append(index)
        else:
            functions.append([index])
    return {
        "by": "answers",
        "size": size,
        "functions": [[names[index] for index in members] for members in functions],
        "differences": [float(f"{gap:.3g}") for gap in differences],
    }


def _gap(a: Tensor, b: Tensor) -> float:
    """Largest difference relative to the spread of the answers, over both magnitudes."""
    spread = b.std(dim=-1, keepdim=True) + 1e-30
    return float(((a - b).abs() / spread).max())


def _common_size(names: list[str]) -> int:
    """Smallest size that every architecture of the group takes, or is built for."""
    sizes: set[int] = set()
    for name in names:
        settings = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        default = settings.input_size[-1] if settings is not None else 224
        if settings is not None and settings.fixed_input_size:
            sizes.add(default)
    if sizes:
        return min(sizes)
    for size in SIZES:
        with contextlib.suppress(Exception):
            for name in names:
                _meta_forward(name, size)
            return size
    return 224


def _meta_forward(name: str, size: int) -> None:
    with torch.device("meta"), torch.no_grad():
        module = timm.create_model(name, pretrained=False, num_classes=CLASSES[0]).eval()
        module(torch.zeros(1, 3, size, size))


def _answers(name: str, size: int, base: dict[str, Tensor]) -> Tensor:
    """Answers of shape ``(2 magnitudes, 2 inputs, classes)``, float64."""
    settings = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
    other: dict[str, Any] = {}
    if settings is not None and settings.fixed_input_size and settings.input_size[-1] != size:
        other["img_size"] = size
    module = timm.create_model(name, pretrained=False, num_classes=CLASSES[0], **other)
    module = module.eval().double()
    generator = torch.Generator().manual_seed(7)
    inputs = torch.randn(2, 3, size, size, generator=generator, dtype=torch.float64)
    rows = []
    for magnitude in MAGNITUDES:
        _fill(module, magnitude, base)
        with torch.no_grad():
            rows.append(module(inputs))
    answers = torch.stack(rows)
    if not bool(torch.isfinite(answers).all()):
        raise ValueError("the answers are not finite")
    if float(answers.std(dim=-1).min()) == 0:
        raise ValueError("the answers are constant")
    return answers


def _fill(module: nn.Module, magnitude: float, base: dict[str, Tensor]) -> None:
    """Writes weights that depend on names only, so any two networks of a group get the same."""
    state = module.state_dict()
    for key, tensor in state.items():
        if not tensor.is_floating_point():
            # Index tables belong to the checkpoint: all members get the first member's.
            state[key] = base.setdefault(key, tensor.clone())
            continue
        seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:7], "big")
        state[key] = _values(key, tensor, magnitude, torch.Generator().manual_seed(seed))
    module.load_state_dict(state)


def _values(key: str, tensor: Tensor, magnitude: float, generator: torch.Generator) -> Tensor:
    leaf = key.rpartition(".")[2]
    noise = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    if leaf == "running_var":
        return 0.5 + noise.abs()
    if leaf == "running_mean" or "bias" in leaf:
        return magnitude * noise
    if tensor.ndim <= 1:
        return (1.0 + 0.3 * noise).abs()
    if leaf == "weight":
        return magnitude * noise / math.sqrt(math.prod(tensor.shape[1:]))
    return 0.5 * magnitude * noise


def _by_structure(names: list[str]) -> dict[str, Any]:
    functions: dict[str, list[str]] = {}
    for name in names:
        with torch.device("meta"):
            module = timm.create_model(name, pretrained=False, num_classes=CLASSES[0]).eval()
        functions.setdefault(_structure(module), []).append(name)
    return {"by": "structure", "functions": list(functions.values())}


def _structure(module: nn.Module) -> str:
    """Digest of everything that decides the answers but is not a tensor."""
    parts = [re.sub(r"(drop_prob|p)=[0-9.e-]+", r"\1", repr(module))]
    for path, layer in module.named_modules():
        plain = {
            key: repr(value)
            for key, value in vars(layer).items()
            if isinstance(value, (bool, int, float, str, tuple, type(None)))
            and not key.startswith("_")
            and "drop" not in key
            and key not in ("training", "grad_checkpointing")
        }
        functions = {
            key: getattr(value, "__qualname__", repr(value))
            for key, value in vars(layer).items()
            if callable(value) and not key.startswith("_") and not isinstance(value, nn.Module)
        }
        parts.append(f"{path} {type(layer).__name__} {sorted((plain | functions).items())}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


# ---- step 3: writing ----


def _document(
    signatures: dict[str, dict[str, Any]],
    groups: dict[str, list[str]],
    comparisons: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    entries = []
    for key, names in sorted(groups.items()):
        signature = signatures[names[0]]
        found = comparisons.get(key, {"by": "alone", "functions": [names]})
        functions = [sorted(members, key=_preference) for members in found["functions"]]
        entries.append(
            {
                "names": signature["names"],
                "shapes": signature["shapes"],
                "heads": signature["heads"],
                "functions": sorted(functions, key=lambda members: _preference(members[0])),
                "by": found["by"],
                "sketch": signature["sketch"],
            }
        )
    others = [
        {"name": name, "heads": signature["heads"], "sketch": signature["sketch"]}
        for name, signature in sorted(signatures.items())
        if name.startswith(TORCHVISION)
    ]
    return {
        "schema": INDEX_SCHEMA,
        "timm": timm.__version__,
        "torchvision": torchvision.__version__,
        "entries": entries,
        "others": others,
    }


def _preference(name: str) -> tuple[bool, int, str]:
    """Names with published weights first, then the shortest."""
    return (not timm.list_pretrained(f"{name}.*"), len(name), name)


def _write(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, separators=(",", ":"), sort_keys=True)
    # No time stamp, so that the same index is the same file.
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    _say(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
