"""What registered models call pictures: each is loaded from its file, asked, and let go."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from fingerprint.errors import InputRefused, UsageError
from fingerprint.progress import Progress, silent
from fingerprint.text import first_line
from registry.registration import Peer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.evidence.rare_labels import Pictures
    from fingerprint.network.spec import InputSpec

__all__ = ["check_pictures", "named_pictures"]


def check_pictures(inputs: NDArray[Any], count: int, spec: InputSpec) -> None:
    """Refuses pictures that cannot be asked.

    Raises:
        UsageError: There are none, they are of another type or shape, or lie outside the bounds; or
            none of them is to be asked.
    """
    import numpy as np

    if count < 1:
        raise UsageError(f"pictures: expected at least 1, got {count}")

    wanted = np.dtype(np.uint8 if spec.kind == "pixels" else np.float32)
    if inputs.shape[1:] != spec.shape or inputs.dtype != wanted or not len(inputs):
        raise UsageError(
            f"data: expected {wanted} of shape (N, {str(spec.shape)[1:]}, got {inputs.dtype} of "
            f"shape {inputs.shape}"
        )
    low, high = spec.bounds
    if spec.kind == "float" and not ((inputs >= low) & (inputs <= high)).all():
        raise UsageError(f"data: expected finite values from {low:g} to {high:g}")


def named_pictures(
    peers: Collection[Peer],
    inputs: NDArray[Any],
    *,
    count: int,
    code: Sequence[str] = (),
    device: str = "cpu",
    progress: Progress = silent,
) -> Pictures:
    """Asks registered models pictures.

    Args:
        peers: The models, all of one input domain.
        inputs: Shape ``(N, *shape)``; see :func:`check_pictures`.
        count: How many a suspect is asked of each candidate.
        code: Modules that may be imported to build models.
        device: Where to compute.
        progress: Told how far the work is.

    Returns:
        The pictures, with what each model calls them and why others could not be asked.
    """
    from fingerprint.evidence.rare_labels import Pictures, labels_of
    from fingerprint.network.run import run

    labels, outputs, absent = {}, {}, {}
    for done, peer in enumerate(peers):
        progress("naming pictures", done, len(peers))
        try:
            model = peer.load(code=code, device=device)
            labels[peer.name] = labels_of(run(model, inputs), model.output)
        except InputRefused as error:
            absent[peer.name] = str(error)
        except Exception as error:  # a network's own code may raise anything
            absent[peer.name] = f"asking it failed: {first_line(error)}"
        else:
            outputs[peer.name] = model.output
    return Pictures(inputs=inputs, labels=labels, outputs=outputs, absent=absent, count=count)
