"""Makes a whole release's memory: a registry of real networks, suspects, and what was said.

    OMP_NUM_THREADS=1 python -m tests.registry.golden.make_golden_0002 /models

Run once, by the code before the next migration, and committed; made again by newer code it
proves nothing. The argument is a new folder to work in: its path is what the registry keeps of
its files. What is kept beside this file, in ``release-0002``:

- ``registry.db.gz``: trained networks for digits (a family, transformers, perceptrons, two input
  domains), a removed one, screenings, and two verdicts in the chain;
- ``*.safetensors``: what was registered, and suspects; ``networks_0002.py`` builds them all;
- ``documents.json.gz``: each command with its exit code and its JSON document of schema 1, and
  what the verdicts are where answers say less than logits.

Every verdict was asked of a copy of that registry, so each stands by itself.
"""

from __future__ import annotations

import copy
import gzip
import json
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import nn
from typer.testing import CliRunner

from cli.demo.data import digits
from cli.demo.modifications import fine_tuned, pruned, quantised
from cli.demo.training import accuracy, trained
from cli.main import app
from fingerprint import load_model
from fingerprint.suspects import ModelSuspect, Narrowed
from registry import Registry
from tests.registry.golden import networks_0002 as networks

HERE = Path(__file__).with_name("release-0002")
SEED = "0002" * 16
NETWORKS = networks.__name__
FLOAT = ("--bounds", "0,1")
# Name, weights file and what else the command says; sources first, as they are registered.
REGISTERED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("cnn", "cnn", ()),
    ("cnn-tuned", "cnn-tuned", ("--parent", "cnn", "--decoys", "0")),
    ("vit", "vit", ()),
    ("mlp", "mlp", ()),
    ("cnn-other", "cnn-other", ("--decoys", "0")),
    ("vit-other", "vit-other", ("--decoys", "0", "--start", "uniform")),
    ("mlp-float", "mlp-float", ("--decoys", "0", *FLOAT)),
    ("removed", "mlp-other", ("--decoys", "0", "--probes", "8")),
)
RECORDED = ("cnn-int8", "mlp-other")
NARROWED = ("cnn", "cnn-int8", "cnn-tuned-2", "cnn-pruned", "cnn-stranger", "vit-int8", "mlp-int8")


def weights() -> dict[str, nn.Module]:
    """Trains every network, and changes copies of them."""
    data, made = digits(), {}
    for name, factory, seed in (
        ("cnn", networks.cnn, 0),
        ("cnn-other", networks.cnn, 1),
        ("cnn-stranger", networks.cnn, 2),
        ("vit", networks.vit, 0),
        ("vit-other", networks.vit, 1),
        ("vit-stranger", networks.vit, 2),
        ("mlp", networks.mlp, 0),
        ("mlp-other", networks.mlp, 1),
        ("mlp-float", networks.mlp, 3),
    ):
        made[name] = trained(factory, data, seed=seed)
        print(f"{name}: accuracy {accuracy(made[name], data):.3f}", file=sys.stderr)
    for name in ("cnn", "vit", "mlp"):
        made[f"{name}-int8"] = quantised(made[name])
        made[f"{name}-pruned"] = pruned(made[name])
        made[f"{name}-tuned-2"] = fine_tuned(made[name], data, seed=12)
    made["cnn-tuned"] = fine_tuned(made["cnn"], data, seed=11)
    made["mlp-float-int8"] = quantised(made["mlp-float"])
    made["cnn-half"] = copy.deepcopy(made["cnn"]).half()
    made["cnn-five-classes"] = five_classes(made["cnn"])
    return made


def five_classes(network: nn.Module) -> nn.Module:
    """Returns a copy that answers five questions of another task."""
    state = dict(network.state_dict())
    head = [name for name in state if name.startswith("20.")]
    assert head == ["20.weight", "20.bias"]
    mixing = torch.randn(5, 10, generator=torch.Generator().manual_seed(0))
    state |= {name: mixing @ state[name] for name in head}
    changed = networks.cnn_five_classes()
    changed.load_state_dict(state)
    return changed.eval()


def how(file: str) -> tuple[str, ...]:
    """Returns how a weights file is read, as the command line says it."""
    factory = "cnn_five_classes" if file == "cnn-five-classes" else file.partition("-")[0]
    options = ("--arch", f"{NETWORKS}:{factory}", "--input-size", "1,16,16")
    return (*options, *FLOAT) if file.startswith("mlp-float") else options


def fp(registry: Path, *words: str) -> dict[str, Any]:
    """Runs a command and returns what it said; the registry's option is left out of it."""
    done = CliRunner().invoke(app, [*words, "--json", "--registry", str(registry)], prog_name="fp")
    assert done.exit_code in (0, 4), (words, done.output, done.exception)
    return {
        "command": list(words),
        "exit": done.exit_code,
        "stderr": done.stderr.splitlines(),
        "document": json.loads(done.stdout) if done.stdout else None,
    }


def asked_less(registry: Path, folder: Path) -> list[dict[str, Any]]:
    """Verifies suspects that show less than logits."""
    found = []
    with Registry(registry) as opened:
        for file in NARROWED:
            model = load_model(
                folder / f"{file}.safetensors", arch=how(file)[1], input_size=(1, 16, 16)
            )
            for kind, options in (
                ("probabilities", {}),
                ("probabilities", {"decimals": 3}),
                ("top-k", {"k": 5}),
                ("labels", {}),
            ):
                result = opened.verify(Narrowed(ModelSuspect(model), kind, **options))
                document = result.to_dict()
                for candidate in document["candidates"]:
                    del candidate["per_probe"]
                found.append({"file": file, "kind": kind, **options, "document": document})
    return found


def make(folder: Path, kept: Path) -> None:
    """Works in ``folder``, which must not exist or be empty, and fills ``kept``."""
    folder.mkdir(parents=True, exist_ok=True)
    kept.mkdir()
    for name, network in weights().items():
        state = {key: value.contiguous() for key, value in network.state_dict().items()}
        save_file(state, folder / f"{name}.safetensors")
        shutil.copy(folder / f"{name}.safetensors", kept)
    registry = folder / "registry.db"
    with mock.patch("secrets.token_hex", return_value=SEED):
        Registry(registry).close()
    said: dict[str, Any] = {"networks": NETWORKS, "seed": SEED}
    said["register"] = [
        fp(registry, "register", path(folder, file), "--name", name, *how(file)[:4], *options)
        for name, file, options in REGISTERED
    ]
    said["remove"] = [fp(registry, "remove", "removed", "--yes")]
    said["recorded"] = [fp(registry, "verify", path(folder, file), *how(file)) for file in RECORDED]
    with Registry(registry) as opened:
        opened.check()
        domains = sorted({model.domain for model in opened.models()})
        said["pair_ratios"] = {domain: opened.pair_ratios(domain) for domain in domains}
    with closing(sqlite3.connect(registry)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    written = registry.read_bytes()
    said["list"] = [fp(registry, "list")]
    said["show"] = [fp(registry, "show", name) for name, *_ in REGISTERED[:-1]]
    said["verify"] = []
    for file in sorted(found.stem for found in kept.glob("*.safetensors")):
        (folder / "copy.db").write_bytes(written)
        said["verify"].append(fp(folder / "copy.db", "verify", path(folder, file), *how(file)))
    said["narrowed"] = asked_less(folder / "copy.db", folder)
    keep(kept / "registry.db.gz", written)
    keep(kept / "documents.json.gz", json.dumps(said, indent=1).encode())


def keep(path: Path, data: bytes) -> None:
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def path(folder: Path, file: str) -> str:
    return str(folder / f"{file}.safetensors")


if __name__ == "__main__":
    make(Path(sys.argv[1]), HERE)
