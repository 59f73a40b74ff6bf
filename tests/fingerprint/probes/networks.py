"""Networks that are odd in what probes are solved through."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Exits"]


class Exits(nn.Module):
    """Has another head for dark inputs, so that not every input has the same features."""

    def __init__(self, darkest: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(256, 20), nn.Tanh())
        self.head, self.dark = nn.Linear(20, 4), nn.Linear(256, 4)
        self.darkest = darkest

    def forward(self, x: Tensor) -> Tensor:
        light = x.detach().flatten(1).mean(dim=1) >= self.darkest
        if bool(light.all()):
            logits: Tensor = self.head(self.body(x))
            return logits
        rows = [
            self.head(self.body(one)) if bright else self.dark(one.flatten(1).sigmoid())
            for one, bright in zip(x.split(1), light, strict=True)
        ]
        return torch.cat(rows)
