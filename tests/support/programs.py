"""Files that are code: networks exported in each way, and payloads that do something else."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["SCRIPTS", "exported", "hostile_program", "hostile_script", "scripted", "traced"]


def scripted(module: nn.Module, path: Path) -> Path:
    """Writes a network as TorchScript, from its source."""
    torch.jit.script(module).save(str(path))
    return path


def traced(module: nn.Module, path: Path, *shape: int) -> Path:
    """Writes a network as TorchScript, from one run."""
    torch.jit.trace(module, torch.zeros(1, *shape)).save(str(path))
    return path


def exported(module: nn.Module, path: Path, *shape: int) -> Path:
    """Writes a network as a program of ``torch.export``, for any number of inputs."""
    batch = torch.export.Dim("batch", min=1, max=512)
    program = torch.export.export(module, (torch.zeros(2, *shape),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


class _Runs:
    """Is unpickled by running a line of Python."""

    def __init__(self, line: str) -> None:
        self.line = line

    def __reduce__(self) -> Any:
        return exec, (self.line,)


def hostile_program(good: Path, path: Path, line: str) -> Path:
    """Writes an exported program that runs a line of Python when it is loaded.

    Args:
        good: One that does not.
        path: Where to.
        line: What it runs.
    """
    payload = io.BytesIO()
    torch.save(_Runs(line), payload)
    with zipfile.ZipFile(good) as known, zipfile.ZipFile(path, "w") as archive:
        for member in known.infolist():
            data = known.read(member)
            if member.filename.endswith("data/sample_inputs/model.pt"):
                data = payload.getvalue()
            archive.writestr(member.filename, data)
    return path


class _Writes(nn.Module):
    """Writes a file by mapping it."""

    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: Tensor) -> Tensor:
        mapped = torch.from_file(self.target, shared=True, size=4)
        mapped.fill_(1.0)
        return x.flatten(1) + mapped.sum()


class _Saves(nn.Module):
    def __init__(self, target: str) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.target)
        return x.flatten(1)


class _Fills(nn.Module):
    def __init__(self, target: str) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        kept = [x]
        for _ in range(100_000):
            kept.append(torch.rand([16_777_216]))
        return kept[-1].view(1, -1)


class _Spins(nn.Module):
    def __init__(self, target: str) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        while bool((x * 0 == 0).any()):
            x = x + 0
        return x.flatten(1)


SCRIPTS: dict[str, Callable[[str], nn.Module]] = {
    "writes": _Writes,
    "saves": _Saves,
    "fills": _Fills,
    "spins": _Spins,
}


def hostile_script(what: str, path: Path, target: Path) -> Path:
    """Writes a TorchScript file that does something when it is asked.

    Args:
        what: One of :data:`SCRIPTS`.
        path: Where to.
        target: What it tries to write.
    """
    torch.jit.script(SCRIPTS[what](str(target))).save(str(path))
    return path
