"""Networks are run in full precision, by whatever kernels the caller has chosen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from fingerprint import load_model
from fingerprint.network.run import full_precision


class Watching(nn.Module):
    """Notes what it is run with.

    Args:
        seen: Where; a copy of the network notes it there as well.
    """

    def __init__(self, seen: list[tuple[bool, bool]]) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.note = seen.append

    def forward(self, x: Tensor) -> Tensor:
        cudnn = torch.backends.cudnn
        self.note((cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))
        answers: Tensor = self.inner(x)
        return answers


def test_every_check_of_a_loaded_network_runs_without_tensorfloat() -> None:
    seen: list[tuple[bool, bool]] = []
    load_model(Watching(seen).eval(), input_size=(4,))
    assert seen
    assert set(seen) == {(False, False)}


@pytest.mark.parametrize("enabled", [True, False])
def test_cudnn_stays_as_the_caller_has_set_it(enabled: bool) -> None:
    with torch.backends.cudnn.flags(enabled=enabled, benchmark=enabled, allow_tf32=True):
        with full_precision():
            assert torch.backends.cudnn.enabled is enabled
            assert torch.backends.cudnn.benchmark is enabled
            assert not torch.backends.cudnn.allow_tf32
        assert torch.backends.cudnn.allow_tf32
