"""What ``fp decompose`` writes: each piece of a perturbation as numbers and as a picture.

folder.check(expected_files(names, decomposer.names))
document = written(folder, name, piece)         # the piece as JSON, with its files
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cli.folder import OutFolder
from fingerprint.decomposition import PARTS, Piece

__all__ = ["expected_files", "written"]


def expected_files(names: Sequence[str], pieces: Sequence[str]) -> Iterator[str]:
    """Names the files that may be written, so that nothing is computed in vain."""
    for name in names:
        for what in pieces:
            yield f"{name}-{what}.npy"
            yield f"{name}-{what}.png"
            yield f"{_sent(name, what)}.png"


def written(folder: OutFolder, name: str, piece: Piece, *, pixels: bool) -> dict[str, Any]:
    """Writes a perturbation as numbers and, for networks that see, as a picture.

    What can be sent is written as well.

    Args:
        folder: Where to.
        name: Of the image.
        piece: The perturbation.
        pixels: Whether the network sees.

    Returns:
        The piece as plain JSON values, with the names of its files.
    """
    values = piece.values.cpu().numpy()
    files = [folder.array(f"{name}-{piece.what}", values)]
    if pixels:
        files.append(folder.signed_picture(f"{name}-{piece.what}", values)[0])
    if piece.sent is not None:
        files.append(folder.picture(_sent(name, piece.what), piece.sent))
    return {**piece.to_dict(), "files": [file.name for file in files]}


def _sent(name: str, what: str) -> str:
    return f"{name}-perturbed" if what == PARTS[0] else f"{name}-perturbed_{what}"
