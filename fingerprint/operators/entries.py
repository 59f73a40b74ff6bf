"""Maps that only move and scale entries: reshape, permute, pad, select, flip, batch norm.

    Entries.read(lambda x: x.flip(0), (5, 3))       # what a function of torch does
    Diagonal(scale, (64, 56, 56))                   # one factor for each channel

Such maps on either side of a layer never change how it falls apart into windows: they only
rename, scale and drop what the layer reads and gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from fingerprint.errors import UsageError
from fingerprint.operators.base import LinearOperator

__all__ = ["Diagonal", "Entries", "simplest"]

_SAME = 1e-12
"""Relative difference up to which factors that one number made count as that number."""


class Entries(LinearOperator):
    """``y[i] = scale[i] * x[source[i]]``, or zero where ``source[i]`` is -1.

    Attributes:
        source: Flat input position of each output entry, int64, shape ``(m,)``.
        scale: Its factor, shape ``(m,)``, 0 where the source is -1; None if all others are 1.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        source: Tensor,
        scale: Tensor | None = None,
        *,
        out_shape: tuple[int, ...] | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> None:
        """Takes the input shape and what each output reads; sources of factor 0 become -1.

        Args:
            in_shape: Shape of one input.
            source: Integers in the shape of one output.
            scale: Factors, of the dtype of the operator, in that shape.
            out_shape: Shape of one output if it is not that of ``source``.
            dtype: Of the operator where there are no factors.

        Raises:
            UsageError: A position outside the input, or shapes that do not fit.
        """
        n = math.prod(in_shape)
        out_shape = tuple(source.shape) if out_shape is None else tuple(out_shape)
        if source.is_floating_point() or source.numel() == 0:
            raise UsageError(
                f"entries: expected integer positions, got {tuple(source.shape)} of {source.dtype}"
            )
        low, high = int(source.min()), int(source.max())
        if low < -1 or high >= n or math.prod(out_shape) != source.numel():
            raise UsageError(
                f"entries: expected {out_shape} positions from -1 to {n - 1}, "
                f"got {tuple(source.shape)} from {low} to {high}"
            )
        source = source.detach().to(torch.int64).reshape(-1)
        if scale is not None:
            scale = scale.detach().reshape(-1)
            source = torch.where(scale == 0, -1, source)
            scale = None if bool(((scale == 1) | (source < 0)).all()) else scale
        super().__init__(
            in_shape,
            out_shape,
            dtype=dtype if scale is None else scale.dtype,
            device=source.device,
        )
        self.source = source
        self.scale = scale

    @classmethod
    def identity(
        cls,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        *,
        device: torch.device | str = "cpu",
    ) -> Entries:
        """Returns the same entries in the same order, in another shape."""
        return cls(in_shape, torch.arange(math.prod(in_shape), device=device), out_shape=out_shape)

    @classmethod
    def read(
        cls,
        function: Callable[[Tensor], Tensor],
        in_shape: tuple[int, ...],
        *,
        device: torch.device | str = "cpu",
    ) -> Entries:
        """Reads off where each entry comes from by sending the numbers 1, 2, 3, ... through.

        Args:
            function: Linear, of a batch of one ``(1, *in_shape)`` in float64.
            in_shape: Shape of one input.
            device: Where to send them.

        Returns:
            What the function is if it only moves and scales entries; of any other function
            something that does not agree with it on noise.
        """
        size = math.prod(in_shape)
        labels = torch.arange(1, size + 1, dtype=torch.float64, device=device)
        scale = function(torch.ones(1, *in_shape, dtype=torch.float64, device=device))
        read = function(labels.reshape(1, *in_shape))
        share = read / torch.where(scale == 0, torch.inf, scale)
        source = share.nan_to_num(0.0).round().clamp(0, size).to(torch.int64) - 1
        shape = tuple(scale.shape[1:])
        return cls(in_shape, source, torch.where(source < 0, 0.0, scale), out_shape=shape)

    @property
    def is_injective(self) -> bool:
        """Whether every input entry is read."""
        return bool((self.weights() > 0).all())

    @property
    def is_orthogonal(self) -> bool:
        """Whether it is a permutation of the entries."""
        return self.m == self.n and self.scale is None and self.is_injective

    @property
    def is_identity(self) -> bool:
        """Whether the entries stay as they are, but for the shape."""
        every = torch.arange(self.n, device=self.device)
        return self.scale is None and torch.equal(self.source, every)

    @property
    def factors(self) -> Tensor:
        """The factor of each output entry, shape ``(m,)``, 0 where nothing is read."""
        if self.scale is not None:
            return torch.where(self.source < 0, 0.0, self.scale)
        return (self.source >= 0).to(self.dtype)

    def weights(self) -> Tensor:
        """Returns the norm of each column: ``‖L z‖ = ‖weights · z‖``, as ``LᵀL`` is diagonal."""
        squares = torch.zeros(self.n, dtype=self.dtype, device=self.device)
        read = self.source >= 0
        squares.index_add_(0, self.source[read], self.factors[read].square())
        return squares.sqrt()

    def look_up(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Returns source and factor of output entries, any shape; -1 stays -1 with factor 0."""
        here = positions.clamp(min=0)
        source = torch.where(positions < 0, -1, self.source[here])
        return source, torch.where(positions < 0, 0.0, self.factors[here])

    def after(self, first: Entries) -> Entries:
        """Returns the map that applies ``first`` and then this one."""
        source, scale = first.look_up(self.source)
        scale = scale * self.factors
        return Entries(first.in_shape, source, scale, out_shape=self.out_shape)

    def _forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1)[:, self.source.clamp(min=0)]
        return y * self.factors.to(x.dtype)

    def _transpose(self, y: Tensor) -> Tensor:
        x = y.new_zeros(len(y), self.n)
        x.index_add_(1, self.source.clamp(min=0), y.flatten(1) * self.factors.to(y.dtype))
        return x


class Diagonal(LinearOperator):
    """Entry-wise multiplication, ``y = scale * x``: batch norm, or input normalisation.

    Attributes:
        scale: Broadcastable to the shape, such as ``(C, 1, 1)`` for channels, with as many
            dimensions; sets dtype and device.
    """

    def __init__(self, scale: Tensor, in_shape: tuple[int, ...]) -> None:
        """Takes the factors and the shape of one input.

        Raises:
            UsageError: The factors do not broadcast to the shape.
        """
        padded = scale.detach().reshape(
            (1,) * max(0, len(in_shape) - scale.ndim) + tuple(scale.shape)
        )
        fits = padded.ndim == len(in_shape) and all(
            s in (1, size) for s, size in zip(padded.shape, in_shape, strict=True)
        )
        if not fits or not scale.is_floating_point():
            raise UsageError(
                f"scale: expected floating-point factors that broadcast to {tuple(in_shape)}, "
                f"got {tuple(scale.shape)} of {scale.dtype}"
            )
        super().__init__(in_shape, in_shape, dtype=scale.dtype, device=scale.device)
        self.scale = padded

    @property
    def is_injective(self) -> bool:
        """Whether no factor is zero."""
        return bool((self.scale != 0).all())

    @property
    def is_channelwise(self) -> bool:
        """Whether one factor serves each channel (the first axis)."""
        return all(size == 1 for size in self.scale.shape[1:])

    def entries(self) -> Entries:
        """Returns the same map with a factor for every entry."""
        every = torch.arange(self.n, device=self.device).reshape(self.in_shape)
        return Entries(self.in_shape, every, self.scale.expand(self.in_shape))

    def _forward(self, x: Tensor) -> Tensor:
        return x * self.scale

    def _transpose(self, y: Tensor) -> Tensor:
        return y * self.scale


def simplest(entries: Entries) -> Entries | Diagonal:
    """Returns a diagonal with as few factors as will do where every entry stays in its place.

    Along the first axis, that of channels, factors are kept apart.
    """
    every = torch.arange(entries.n, device=entries.device)
    if entries.is_identity or entries.m != entries.n:
        return entries
    if not bool(((entries.source == every) | (entries.source < 0)).all()):
        return entries
    scale = entries.factors.reshape(entries.in_shape)
    for axis in range(1, scale.ndim):
        first = scale.narrow(axis, 0, 1)
        if bool(((scale - first).abs() <= _SAME * first.abs()).all()):
            scale = first
    return Diagonal(scale, entries.in_shape)
