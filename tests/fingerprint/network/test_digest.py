from __future__ import annotations

import hashlib
import struct

import torch
from torch import nn

from fingerprint.network.digest import weights_digest
from tests.fingerprint.network.networks import small


def test_one_changed_bit_changes_the_digest() -> None:
    state = small().state_dict()
    before = weights_digest(state)
    state["0.bias"][0] = torch.nextafter(state["0.bias"][0], torch.tensor(9.0))
    assert weights_digest(state) != before


def test_names_shapes_and_values_enter() -> None:
    digests = {
        weights_digest({"a": torch.zeros(4)}),
        weights_digest({"b": torch.zeros(4)}),
        weights_digest({"a": torch.zeros(2, 2)}),
        weights_digest({"a": torch.zeros(4, dtype=torch.int64)}),
        weights_digest({"a": torch.ones(4)}),
    }
    assert len(digests) == 5


def test_order_wrappers_precision_and_layout_do_not_enter() -> None:
    module = small()
    state = module.state_dict()
    same = [
        dict(reversed(state.items())),
        nn.DataParallel(module).state_dict(),
        {f"_orig_mod.{name}": tensor for name, tensor in state.items()},
        {name: t.double() if t.is_floating_point() else t for name, t in state.items()},
        {name: t.to(memory_format=torch.channels_last) if t.ndim == 4 else t
         for name, t in state.items()},
    ]  # fmt: skip
    assert {weights_digest(other) for other in same} == {weights_digest(state)}


def test_the_counter_of_seen_batches_does_not_enter() -> None:
    state = small().state_dict()
    before = weights_digest(state)
    state["1.num_batches_tracked"] += 1
    assert weights_digest(state) == before
    del state["1.num_batches_tracked"]
    assert weights_digest(state) == before


def test_the_digest_is_the_documented_one() -> None:
    state = {"n": torch.tensor(1), "a": torch.arange(6.0).reshape(2, 3).half()}
    expected = hashlib.sha256(
        b"nullprint weights 1\n"
        b'["a", [2, 3], "torch.float32"]\n' + struct.pack("<6f", *range(6)) +
        b'["n", [], "torch.int64"]\n' + struct.pack("<q", 1)
    )  # fmt: skip
    assert weights_digest(state) == expected.hexdigest()
