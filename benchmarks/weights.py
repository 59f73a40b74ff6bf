"""Compares weights after everything that is done to hide where they come from; prints one table.

    python -m benchmarks.weights --zoo ZOO                    # of benchmarks.detection.zoo
    python -m benchmarks.weights --large --families FOLDER    # of benchmarks.families --large

What a disguise defeats is a row like any other.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.detection.zoo import Member, members
from benchmarks.efficientnet_lite import weights
from benchmarks.markdown import decimal, table
from benchmarks.report import machine
from fingerprint import Model, load_model
from fingerprint.lab.architectures import body
from fingerprint.lab.modifications import pruned, quantised, with_weights
from fingerprint.lab.networks import Block, Cnn, Vit
from fingerprint.lab.symmetries import equivalent
from fingerprint.weights.comparison import Comparison, compare_layers
from fingerprint.weights.wiring import Layer, layers_of

__all__ = ["Row", "attacks", "factored", "main", "merged_channels", "rotated", "split_channels"]

_ALPHA = 0.001
_WIDE = 16
_SEED = 5


@dataclass(frozen=True, kw_only=True)
class Row:
    """One pair of networks.

    Attributes:
        title: What was done; pairs of one title make a line of the table.
        found: What the weights say.
        seconds: What comparing took, without loading.
    """

    title: str
    found: Comparison
    seconds: float

    @property
    def shared(self) -> bool:
        """Whether the pair is said to share weights."""
        return self.found.p_value is not None and self.found.p_value < _ALPHA

    @property
    def layers(self) -> float:
        """Share of the tested layers in which more than half of the units agree."""
        return self.found.carried / max(self.found.tested, 1)


# ---- attacks ----


def split_channels(network: nn.Module, share: float = 0.5) -> nn.Module:
    """Doubles channels of a plain CNN and halves what each gives on: the same answers.

    Args:
        network: A plain CNN of the lab; left alone.
        share: Of each convolution's channels.
    """
    changed = copy.deepcopy(network)

    def plan(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
        units = convolution.out_channels
        taken = torch.cat([torch.arange(units), torch.arange(int(share * units))])
        whose = nn.functional.one_hot(taken, units).float()
        return taken, whose / whose.sum(0)

    _change_channels(changed, plan)
    return changed


def merged_channels(network: nn.Module, share: float = 0.1) -> nn.Module:
    """Leaves out the channels of a plain CNN that are most like another, which takes their part.

    Args:
        network: A plain CNN of the lab; left alone.
        share: Of each convolution's channels.
    """
    changed = copy.deepcopy(network)

    def plan(convolution: nn.Conv2d) -> tuple[Tensor, Tensor]:
        rows = nn.functional.normalize(convolution.weight.detach().flatten(1))
        likeness = rows @ rows.T - 2 * torch.eye(len(rows))
        gone = likeness.amax(1).topk(int(share * len(rows))).indices
        stays = torch.ones(len(rows), dtype=torch.bool)
        stays[gone] = False
        kept = stays.nonzero()[:, 0]
        whose = nn.functional.one_hot(kept, len(rows)).float()
        whose[likeness[gone][:, kept].argmax(1), gone] = 1.0
        return kept, whose

    _change_channels(changed, plan)
    return changed


def _change_channels(
    network: nn.Module, plan: Callable[[nn.Conv2d], tuple[Tensor, Tensor]]
) -> None:
    """Gives every convolution of a plain CNN other channels.

    Args:
        network: Changed.
        plan: Returns which old channel each new one is, and which shares of the old ones'
            outgoing weights it takes, ``(new, old)``.
    """
    inner = body(network)
    assert isinstance(inner, Cnn)
    before: Tensor | None = None
    for convolution, norm in inner.layers():
        if before is not None:
            _read(convolution, before)
        taken, shares = plan(convolution)
        convolution.weight.data = convolution.weight.data[taken]
        for tensor in (*norm.parameters(), *norm.buffers()):
            if tensor.ndim:
                tensor.data = tensor.data[taken]
        before = shares
    if before is not None:
        _read(inner.head, before)


def _read(layer: nn.Conv2d | nn.Linear, shares: Tensor) -> None:
    old = layer.weight.data
    by_unit = old.reshape(len(old), shares.shape[1], -1)
    new = torch.einsum("oit,ni->ont", by_unit, shares)
    layer.weight.data = new.reshape(len(old), -1, *old.shape[2:])


def rotated(network: nn.Module, *, seed: int = _SEED) -> nn.Module:
    """Rotates the residual stream of a transformer of the lab: the same answers.

    What layer normalisation multiplies by is folded into the next layer first; the rotation keeps
    the direction of the mean, which normalisation takes away.

    Args:
        network: A vision transformer; left alone.
        seed: Decides the rotation.
    """
    changed = copy.deepcopy(network)
    inner = body(changed)
    assert isinstance(inner, Vit)
    dim = inner.patch_embed.out_channels
    generator = torch.Generator().manual_seed(seed)
    basis = torch.cat(
        [torch.ones(dim, 1), torch.randn(dim, dim - 1, generator=generator)], dim=1
    ).double()
    ours = torch.linalg.qr(basis).Q
    turn = torch.linalg.qr(torch.randn(dim - 1, dim - 1, generator=generator).double()).Q
    rotation = (ours[:, :1] @ ours[:, :1].T + ours[:, 1:] @ turn @ ours[:, 1:].T).float()
    with torch.no_grad():
        _written(inner.patch_embed, rotation)
        inner.position.copy_(inner.position @ rotation.T)
        for block in inner.blocks:
            assert isinstance(block, Block)
            first, second = block.mlp[0], block.mlp[2]
            assert isinstance(first, nn.Linear)
            assert isinstance(second, nn.Linear)
            _taken(block.norm1, block.attention.qkv, rotation)
            _written(block.attention.out, rotation)
            _taken(block.norm2, first, rotation)
            _written(second, rotation)
        _taken(inner.norm, inner.head, rotation)
    return changed


def _written(layer: nn.Conv2d | nn.Linear, rotation: Tensor) -> None:
    layer.weight.copy_((rotation @ layer.weight.flatten(1)).reshape(layer.weight.shape))
    assert layer.bias is not None
    layer.bias.copy_(rotation @ layer.bias)


def _taken(norm: nn.LayerNorm, layer: nn.Linear, rotation: Tensor) -> None:
    by_unit = layer.weight.reshape(layer.out_features, -1, len(rotation))
    layer.bias.add_((by_unit @ norm.bias).sum(1))
    layer.weight.copy_(((by_unit * norm.weight) @ rotation.T).reshape(layer.weight.shape))
    norm.weight.fill_(1)
    norm.bias.zero_()


def factored(network: nn.Module) -> nn.Module:
    """Writes every layer as a product of two, by its singular vectors: the same answers.

    Args:
        network: Left alone; grouped convolutions stay as they are.
    """
    changed = copy.deepcopy(network)
    for name, layer in list(changed.named_modules()):
        if isinstance(layer, nn.Conv2d) and layer.groups == 1:
            left, right = _factors(layer.weight)
            first = nn.Conv2d(
                layer.in_channels,
                left.shape[1],
                layer.weight.shape[2],
                stride=layer.stride[0],
                padding=layer.padding[0],
                bias=False,
            )
            second: nn.Module = nn.Conv2d(
                left.shape[1], layer.out_channels, 1, bias=layer.bias is not None
            )
            first.weight.data = right.reshape(first.weight.shape)
            second.get_parameter("weight").data = left[:, :, None, None]
        elif isinstance(layer, nn.Linear):
            left, right = _factors(layer.weight)
            linear = nn.Linear(layer.in_features, left.shape[1], bias=False)
            linear.weight.data = right
            second = nn.Linear(left.shape[1], layer.out_features, bias=layer.bias is not None)
            second.get_parameter("weight").data = left
            changed.set_submodule(name, _two(linear, second, layer.bias))
            continue
        else:
            continue
        changed.set_submodule(name, _two(first, second, layer.bias))
    return changed.eval()


def _factors(weight: Tensor) -> tuple[Tensor, Tensor]:
    left, values, right = torch.linalg.svd(weight.detach().flatten(1), full_matrices=False)
    root = values.sqrt()
    return left * root, root[:, None] * right


def _two(first: nn.Module, second: nn.Module, bias: Tensor | None) -> nn.Sequential:
    if bias is not None:
        second.get_parameter("bias").data = bias.detach().clone()
    return nn.Sequential(first, second)


def _noisy(network: nn.Module, share: float) -> nn.Module:
    generator = torch.Generator().manual_seed(_SEED)
    return with_weights(
        network,
        lambda w: w + share * w.std() * torch.randn(w.shape, generator=generator),
    )


def _both(network: nn.Module) -> nn.Module:
    return equivalent(network, seed=_SEED, reordered=True, rescaled=True)


def _half(network: nn.Module) -> nn.Module:
    return copy.deepcopy(network).half().float()


def attacks(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Yields what is done here to a network of the lab, beside what the zoo holds."""
    yield "exact copy", network
    yield "fp16 weights", _half(network)
    for share in (0.1, 0.3, 1.0, 3.0):
        yield f"noise, {share:.0%} of the weights' deviation", _noisy(network, share)
    inner = body(network)
    if not isinstance(inner, Cnn):  # whose code asks for convolutions
        yield "every layer written as two", factored(network)
    if isinstance(inner, Cnn):
        yield "half of the channels split", split_channels(network)
        yield "a tenth of the channels merged", merged_channels(network)
    if isinstance(inner, Vit):
        yield "residual stream rotated", rotated(network)
        yield "rotated, then units permuted and rescaled", _both(rotated(network))
    try:
        both = _both(network)
    except TypeError:
        return
    yield "units permuted and rescaled", both
    yield "permuted, rescaled, noise 10%, int8", quantised(_noisy(both, 0.1))


# ---- pairs ----


def _row(title: str, ours: Sequence[Layer], theirs: Sequence[Layer]) -> Row:
    began = time.perf_counter()
    found = compare_layers(ours, theirs)
    return Row(title=title, found=found, seconds=time.perf_counter() - began)


def _read_layers(network: nn.Module) -> tuple[Layer, ...]:
    return layers_of(load_model(network, input_size=(3, 32, 32)))


def _small(zoo: Path) -> Iterator[Row]:
    """Yields every pair of a base network with another member of the zoo, and siblings."""
    every = [member for member in members(zoo) if member.file.suffix != ".onnx"]
    read = {member.name: _read_layers(member.network()) for member in every}
    bases = [member for member in every if member.group == "base"]
    for base in bases:
        for other in every:
            if other.name != base.name:
                yield _row(_relation(base, other), read[base.name], read[other.name])
        if base.source:
            for title, changed in attacks(base.network()):
                yield _row(title, read[base.name], _read_layers(changed))
    descendants = [m for m in every if m.group == "shares weights" and len(m.kin) == 1]
    for one, other in itertools.combinations(descendants, 2):
        if one.base == other.base and "fine-tuned" in one.name and "new head" in other.name:
            yield _row(
                "siblings: fine-tuned, and with a new head", read[one.name], read[other.name]
            )


def _relation(base: Member, other: Member) -> str:
    if set(base.kin) & set(other.kin) and other.group != "student":
        if len(other.kin) > 1 and other.base != base.name:
            return f"{other.modification}, the 30 % parent"
        return other.modification
    if other.group == "student" and base.name in other.kin:
        return f"student: {other.modification}"
    kind = "same architecture and data" if base.architecture == other.architecture else "another"
    return f"independent, {kind}" if kind != "another" else "independent, another architecture"


def _large(folder: Path) -> Iterator[Row]:
    """Yields EfficientNet-Lite0 with its copies, its fine-tunes, and strangers."""

    def model(file: str | Path, arch: str) -> Model:
        return load_model(file, arch=f"benchmarks.efficientnet_lite:{arch}")

    source = model(weights(0), "lite0")
    ours = layers_of(source)
    spec = source.input
    made: list[tuple[str, Callable[[nn.Module], nn.Module]]] = [
        ("exact copy", lambda n: n),
        ("fp16 weights", _half),
        ("int8 weights", quantised),
        ("pruned 30 %", lambda n: pruned(n, share=0.3)),
        ("pruned 60 %", lambda n: pruned(n, share=0.6)),
        ("noise, 10% of the weights' deviation", lambda n: _noisy(n, 0.1)),
        ("noise, 100% of the weights' deviation", lambda n: _noisy(n, 1.0)),
        ("hidden channels permuted and rescaled", _permuted_lite),
    ]
    for title, change in made:
        changed = change(source.module)
        theirs = load_model(changed, input_size=spec.shape, mean=spec.mean, std=spec.std)
        yield _row(title, ours, layers_of(theirs))
    read = {"lite0": ours}
    for stem, title in _FAMILY:
        file = folder / f"{stem}.safetensors"
        if file.exists():
            read[stem] = layers_of(model(file, f"{stem.partition(',')[0]}_cifar"))
            if stem.startswith("lite0"):
                yield _row(title, ours, read[stem])
    if "lite0, A" in read and "lite0, B" in read:
        yield _row("siblings: two fine-tunes on CIFAR-10", read["lite0, A"], read["lite0, B"])
    strangers = [layers_of(model(weights(v), f"lite{v}")) for v in (1, 2)]
    fine_tunes = [layers for stem, layers in read.items() if stem != "lite1, A"]
    for one, other in itertools.product(fine_tunes, strangers):
        yield _row("independent, Lite1 and Lite2", one, other)
    if "lite1, A" in read:
        for one in fine_tunes:
            yield _row("independent, a fine-tune of Lite1", one, read["lite1, A"])


_FAMILY = (
    ("lite0, A", "fine-tuned, all layers on CIFAR-10, SGD 2e-3"),
    ("lite0, B", "fine-tuned, all layers on CIFAR-10, SGD 1e-2"),
    ("lite0, A, again", "fine-tuned twice"),
    ("lite0, A, int8", "fine-tuned, then int8"),
    ("lite0, A, pruned", "fine-tuned, then pruned"),
    ("lite1, A", "independent, a fine-tune of Lite1"),
)


def _permuted_lite(network: nn.Module) -> nn.Module:
    """Reorders and rescales the hidden channels of every block; the last scale is undone."""
    changed = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(_SEED)
    for block in changed.get_submodule("_blocks").children():
        if not hasattr(block, "_expand_conv"):
            continue
        layers = [block.get_submodule(f"_{n}") for n in ("expand_conv", "depthwise_conv")]
        order = torch.randperm(len(layers[0].get_parameter("weight")), generator=generator)
        scale = 4 ** (2 * torch.rand(len(order), generator=generator) - 1)
        for layer in (*layers, block.get_submodule("_bn0"), block.get_submodule("_bn1")):
            for tensor in (*layer.parameters(), *layer.buffers()):
                if tensor.ndim:
                    tensor.data = tensor.data[order]
        # ReLU6 commutes with no factor: only behind the last normalisation would it be undone.
        project = block.get_submodule("_project_conv").get_parameter("weight")
        project.data = project.data[:, order]
        first = layers[0].get_parameter("weight")
        first.data = first.data * scale[:, None, None, None]
        norm = block.get_submodule("_bn0")
        norm.get_buffer("running_mean").mul_(scale)
        norm.get_buffer("running_var").mul_(scale**2)
    return changed


# ---- the table ----


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for title in dict.fromkeys(row.title for row in rows):
        group = [row for row in rows if row.title == title]
        p = [1.0 if row.found.p_value is None else row.found.p_value for row in group]
        share = [row.found.share for row in group if row.found.share is not None]
        lines.append(
            [
                title,
                len(group),
                sum(row.shared for row in group),
                f"{statistics.median(p):.0e}",
                f"{min(p):.0e}"
                if title.startswith(("independent", "student"))
                else f"{max(p):.0e}",
                decimal(statistics.median(share) if share else None),
                decimal(statistics.median(row.layers for row in group)),
                f"{max(row.seconds for row in group):.2g}",
            ]
        )
    head = ("pair", "pairs", "shared", "median p", "worst p", "units", "layers", "seconds")
    return table(head, lines)


def _strangers(rows: Sequence[Row]) -> str:
    """Returns how near independent networks come to the level, layer by layer."""
    layers = [
        (one.agree / one.units, one.p_value)
        for row in rows
        if row.title.startswith("independent")
        for one in row.found.layers
        if one.p_value is not None and one.units >= _WIDE
    ]
    most, least = (
        max((share for share, _ in layers), default=0),
        min((p for _, p in layers), default=1),
    )
    return (
        f"{len(layers)} layers of independents with at least {_WIDE} tested units: at most "
        f"{most:.0%} of the units agree, the smallest p-value of a layer is {least:.1g}"
    )


def main() -> None:
    """Prints a table, and how near strangers come to the level."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--zoo", type=Path, help="folder of benchmarks.detection.zoo")
    parser.add_argument("--large", action="store_true", help="EfficientNet-Lite0 at 224 pixels")
    parser.add_argument("--families", type=Path, help="folder of benchmarks.families --large")
    options = parser.parse_args()
    if options.zoo is None and not options.large:
        parser.error("give --zoo, or --large")
    torch.set_num_threads(1)
    print(f"measured on {machine()}\n")
    if options.zoo is not None:
        _show(list(_small(options.zoo)))
    if options.large:
        _show(list(_large(options.families or Path())))


def _show(rows: Sequence[Row]) -> None:
    print(_table(rows), _strangers(rows), sep="\n\n")


if __name__ == "__main__":
    main()
