"""The control of a probe: its own mirror image.

A probe solved for one network is told apart from noise by comparing it with noise that is like
it in everything but the solving. Fresh noise is not: solving bends the noise it starts from
(its contrast, its texture), every network answers that a little less strongly, and for some
sources this alone pushes independent models to a harm ratio of 0.6. Turning the solved input
upside down keeps every pixel value, the contrast and the texture, and moves each of them to
where no one solved for it. Plain bases are their own mirror images, so harm is measured from
the same base.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["mirrored"]


def mirrored(inputs: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Reverses inputs along their first spatial axis: images upside down, sequences in time.

    Left to right would not do: networks are trained on images flipped that way and hardly
    notice it.

    Args:
        inputs: Shape ``(..., *shape)``.
        shape: Shape of one input; axis 0 is the channel unless it is the only one.

    Returns:
        Array of the same shape and type.
    """
    axis = -len(shape) + min(1, len(shape) - 1)
    return np.ascontiguousarray(np.flip(inputs, axis=axis))
