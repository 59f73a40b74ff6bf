"""Which operations are affine: the one table that says so.

A row names the functions of torch as a forward pass calls them and the elementary operations that
they become in a trace. What is not in the table counts as not affine: whatever keeps its inputs
keeps its outputs, so nothing false can follow. What is in it is still tried on noise: a batch norm
in training mode or the quotient by a variable are not affine, and found out.
"""

from __future__ import annotations

from dataclasses import dataclass

from fingerprint.operators.layers import Reader, averaged, convolved, multiplied, reduced

__all__ = ["AFFINE_FUNCTIONS", "GLUE", "OPERATIONS", "Affine"]


@dataclass(frozen=True, kw_only=True)
class Affine:
    """Operations that are affine in each of their tensors.

    Attributes:
        label: What to call a layer that is one; empty for glue between layers.
        functions: Names of functions and methods of torch.
        operations: Names of elementary operations, without ``aten.`` and overload.
        read: Makes an operator with structure of a call; None where entries are moved and
            scaled, or mixed without structure.
        named: Whether to name it when the layers of a segment are listed.
    """

    label: str = ""
    functions: str = ""
    operations: str = ""
    read: Reader | None = None
    named: bool = True


_TABLE = (
    Affine(
        functions="cat concat stack split chunk unbind tensor_split view reshape permute "
        "transpose flatten unflatten squeeze unsqueeze expand repeat contiguous clone roll to "
        "type detach unfold fold narrow select movedim swapaxes swapdims view_as reshape_as "
        "expand_as flip pixel_shuffle pixel_unshuffle channel_shuffle t type_as copy gather "
        "index_select float double half bfloat16",
        operations="_reshape_alias _to_copy _unsafe_view alias cat channel_shuffle clone "
        "contiguous copy detach diagonal_copy expand flatten flip gather im2col index index_put "
        "index_select lift_fresh lift_fresh_copy masked_fill narrow_copy permute pixel_shuffle "
        "pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat "
        "replication_pad1d replication_pad2d replication_pad3d reshape roll scatter select "
        "select_scatter slice slice_scatter split split_with_sizes squeeze stack t transpose "
        "tril triu unbind unfold unsqueeze view view_copy where",
        named=False,
    ),
    Affine(functions="add sub rsub", operations="add sub rsub", named=False),
    Affine(functions="neg pad", operations="neg constant_pad_nd"),
    Affine(
        functions="dropout dropout1d dropout2d dropout3d feature_dropout alpha_dropout size dim "
        "numel is_floating_point stride is_contiguous element_size get_device item tolist "
        "is_complex requires_grad is_nested"
    ),
    Affine(operations="mul div col2im cumsum"),
    Affine(
        label="linear",
        functions="linear addmm",
        operations="addmm bmm linear mm mv",
        read=multiplied,
    ),
    Affine(
        label="convolution",
        functions="conv1d conv2d conv3d conv_tbc convolution",
        operations="convolution",
        read=convolved,
    ),
    Affine(
        label="transposed convolution",
        functions="conv_transpose1d conv_transpose2d conv_transpose3d",
    ),
    Affine(
        label="batch norm",
        functions="batch_norm",
        operations="_native_batch_norm_legit _native_batch_norm_legit_no_training "
        "cudnn_batch_norm miopen_batch_norm native_batch_norm",
    ),
    Affine(
        label="average pooling",
        functions="avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d",
        operations="_adaptive_avg_pool2d _adaptive_avg_pool3d avg_pool1d avg_pool2d avg_pool3d",
        read=averaged,
    ),
    Affine(label="mean", functions="mean", operations="mean sum", read=reduced),
    Affine(
        label="interpolation",
        functions="interpolate upsample upsample_nearest upsample_bilinear",
        operations="_upsample_bicubic2d_aa _upsample_bilinear2d_aa upsample_bicubic2d "
        "upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d "
        "upsample_nearest3d upsample_trilinear3d",
        read=averaged,
    ),
)

AFFINE_FUNCTIONS = {
    name: row.label for row in _TABLE if row.label for name in row.functions.split()
}
"""Label of each function that is an affine layer."""

GLUE = frozenset(name for row in _TABLE if not row.label for name in row.functions.split())
"""Functions that only move entries, add paths or ask for a shape."""

OPERATIONS = {f"aten.{name}": row for row in _TABLE for name in row.operations.split()}
"""Row of each elementary operation."""
