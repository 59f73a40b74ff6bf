"""``fp decompose``: which part of a perturbation does a network notice?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.folder import Force, Out, OutFolder
from cli.progress import progress_bars
from fingerprint.text import clean

if TYPE_CHECKING:
    from cli.images import Inputs
    from cli.output import Output
    from fingerprint.decomposition import Decomposer

__all__ = ["decompose"]

From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="IMAGE",
        help="Split what each image differs by from this one; by default from zero, a black image.",
    ),
]
Attack = Annotated[
    bool,
    typer.Option(
        "--adversarial", help="Split a perturbation that makes the network err on each image."
    ),
]
Epsilon = Annotated[
    str | None,
    typer.Option(
        metavar="E", help="Largest change of a value with --adversarial; by default 8/255 of range."
    ),
]
Norms = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="Also find perturbations of the same effect that are so many times as long.",
    ),
]
Seed = Annotated[str, typer.Option(metavar="TEXT", help="Decides what is random.")]

_MOST_NORMS = 32
_LARGEST_NORM = 1e9  # beyond, float64 rounds more away than the effect holds


def _norms(text: str | None) -> tuple[float, ...]:
    """Parses multiples of a norm: numbers from 1 to ``_LARGEST_NORM``, all different."""
    if text is None:
        return ()
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    different = len({f"{value:g}" for value in values}) == len(values) <= _MOST_NORMS
    if not values or not different or not all(1.0 <= value <= _LARGEST_NORM for value in values):
        raise typer.BadParameter(
            f"--norms: expected up to {_MOST_NORMS} different multiples from 1 to "
            f"{_LARGEST_NORM:g}, such as 1,4,16, got '{clean(text)}'"
        )
    return values


def _epsilon(text: str | None) -> float | None:
    """Parses a positive number or fraction."""
    if text is None:
        return None
    above, _, below = text.partition("/")
    try:
        value = float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise typer.BadParameter(
            f"--epsilon: expected a positive number such as 0.03 or 8/255, got '{clean(text)}'"
        )
    return value


def _check(base: Path | None, attack: bool, epsilon: str | None) -> None:
    if attack and base is not None:
        raise typer.BadParameter("expected --from or --adversarial, got both")
    if epsilon is not None and not attack:
        raise typer.BadParameter("--epsilon: expected together with --adversarial")


@bundled
def decompose(
    model: options.ModelPath,
    images: options.InputPaths,
    how: options.How,
    screen: options.Screen,
    *,
    out: Out,
    base: From = None,
    attack: Attack = False,
    epsilon: Epsilon = None,
    norms: Norms = None,
    seed: Seed = "",
    force: Force = False,
) -> None:
    """Split perturbations into what a network does not notice and what it does.

    Writes both parts of each perturbation as a picture, grey being zero, and as numbers, and
    says what each does to the answers. Exact where the first layers have a harmless space; on
    other networks a solver finds the parts, and the table shows how far they hold.
    """
    _check(base, attack, epsilon)
    multiples, size = _norms(norms), _epsilon(epsilon)
    loaded = session.load_answering(model, how)
    from cli.images import read_inputs

    inputs = read_inputs(images, loaded.input)
    origin = read_inputs([base], loaded.input) if base is not None else None
    folder = OutFolder(out, force=force)
    from cli.decomposition import expected_files
    from fingerprint.decomposition import Decomposer

    decomposer = Decomposer.of(loaded, norms=multiples, attack=attack, epsilon=size, seed=seed)
    folder.check(expected_files(inputs.names, decomposer.names))
    documents = _all(decomposer, inputs, origin, folder, screen)
    warnings = _warnings(documents)
    for line in (*loaded.warnings, *warnings):
        screen.warn(line)
    from cli.decomposition_view import decomposition

    document = {
        "schema": 1,
        "architecture": loaded.architecture,
        "model_digest": loaded.digest,
        "method": "network" if decomposer.space is None else "linear",
        "dimension": None if decomposer.space is None else decomposer.space.dimension,
        "input_dimension": loaded.input.size,
        "note": decomposer.note,
        "precision": str(decomposer.model.dtype).removeprefix("torch."),
        "base": "the image" if attack else str(base) if base else "zero",
        "epsilon": decomposer.epsilon,
        "norms": list(multiples),
        "seed": seed,
        "folder": str(folder.path),
        "images": documents,
        "warnings": [*loaded.warnings, *warnings],
    }
    screen.data(document, decomposition(document))


def _all(
    decomposer: Decomposer,
    inputs: Inputs,
    origin: Inputs | None,
    folder: OutFolder,
    screen: Output,
) -> list[dict[str, Any]]:
    """Decomposes one image after the other; what is written stays when it is interrupted."""
    from cli.decomposition import written
    from fingerprint.decomposition import check_different
    from fingerprint.errors import UsageError

    if origin is not None and len(origin.values) != 1:
        raise UsageError(f"--from: expected one input, got {len(origin.values)}")
    base = decomposer.zero() if origin is None else decomposer.tensor(origin.values)
    rows = [inputs.values[place : place + 1] for place in range(len(inputs.names))]
    attack = decomposer.epsilon is not None
    if not attack:  # before the work: an image that cannot be split ends it
        for file, row in zip(inputs.files, rows, strict=True):
            check_different(str(file), decomposer.tensor(row) - base)
    pixels = decomposer.model.input.kind == "pixels"
    documents: list[dict[str, Any]] = []
    with progress_bars(screen) as progress:
        for name, file, row in zip(inputs.names, inputs.files, rows, strict=True):
            progress("images", len(documents), len(inputs.names))
            image = decomposer.tensor(row)
            pair = (image,) if attack else (base, image)
            found = decomposer.decomposed(name, *pair, progress=progress)
            documents.append(
                {
                    "name": name,
                    "file": str(file),
                    "adversarial_found": found.misled,
                    "pieces": [
                        written(folder, name, piece, pixels=pixels) for piece in found.pieces
                    ],
                }
            )
        progress("images", len(documents), len(inputs.names))
    return documents


def _warnings(documents: list[dict[str, Any]]) -> list[str]:
    lines = []
    for image in documents:
        if image["adversarial_found"] is False:
            lines.append(f"{image['name']}: no perturbation of this size was found that misleads")
        loose = [piece["what"] for piece in image["pieces"] if not piece["converged"]]
        if loose:
            lines.append(
                f"{image['name']}: the solver fell short of its tolerance: {', '.join(loose)}"
            )
    return lines
