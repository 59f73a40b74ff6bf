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
    from torch import Tensor

    from cli.decomposition import Decomposed, Job
    from cli.images import Inputs
    from cli.output import Output
    from fingerprint.network import Model

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
_EPSILON = 8 / 255


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
    from cli.decomposition import Job, expected_files
    from fingerprint.decomposition import precise
    from fingerprint.solvers import linear_space

    found = linear_space(loaded)
    low, high = loaded.input.bounds
    job = Job(
        model=precise(loaded, found),
        space=found.space if found.is_usable else None,
        norms=multiples,
        epsilon=(size or _EPSILON * (high - low)) if attack else None,
        seed=seed,
    )
    folder.check(expected_files(job, inputs.names))
    results = _all(job, inputs, origin, folder, screen)
    for line in (*loaded.warnings, *_warnings(results)):
        screen.warn(line)
    from cli.decomposition_view import decomposition

    document = _document(loaded, job, found.note, base, folder, results)
    screen.data(document, decomposition(document))


def _all(
    job: Job, inputs: Inputs, origin: Inputs | None, folder: OutFolder, screen: Output
) -> list[Decomposed]:
    """Decomposes one image after the other; what is written stays when it is interrupted."""
    from cli.decomposition import check_different, decomposed
    from fingerprint.errors import UsageError

    if origin is not None and len(origin.values) != 1:
        raise UsageError(f"--from: expected one input, got {len(origin.values)}")
    places = range(len(inputs.names))
    if job.epsilon is None:  # before the work: an image that cannot be split ends it
        for place in places:
            base, image = _pair(job, inputs, origin, place)
            check_different(inputs.files[place], image - base)
    results = []
    with progress_bars(screen) as progress:
        for place, name, file in zip(places, inputs.names, inputs.files, strict=True):
            progress("images", place, len(inputs.names))
            base, image = _pair(job, inputs, origin, place)
            perturbed = image if job.epsilon is None else None
            results.append(decomposed(job, name, file, base, perturbed, folder, progress))
        progress("images", len(inputs.names), len(inputs.names))
    return results


def _pair(job: Job, inputs: Inputs, origin: Inputs | None, place: int) -> tuple[Tensor, Tensor]:
    """Returns what is perturbed, and the image: with an attack these are the same."""
    image = _tensor(job.model, inputs.values[place : place + 1])
    if job.epsilon is not None:
        return image, image
    return _base(job.model, image, None if origin is None else origin.values), image


def _tensor(model: Model, values: Any) -> Tensor:
    import torch

    from fingerprint.network.run import to_tensor

    return to_tensor(values, model.input, torch.float64).to(model.device)


def _base(model: Model, image: Tensor, origin: Any) -> Tensor:
    """Returns what an image differs from: another one, or zero as far as it is in the box."""
    import torch

    if origin is not None:
        return _tensor(model, origin)
    low, high = model.input.bounds
    return torch.zeros_like(image).clamp(low, high)


def _warnings(results: list[Decomposed]) -> list[str]:
    lines = []
    for result in results:
        if result.attack is False:
            lines.append(f"{result.name}: no perturbation of this size was found that misleads")
        loose = [piece.what for piece in result.pieces if not piece.converged]
        if loose:
            lines.append(
                f"{result.name}: the solver fell short of its tolerance: {', '.join(loose)}"
            )
    return lines


def _document(
    model: Model,
    job: Job,
    note: str,
    base: Path | None,
    folder: OutFolder,
    results: list[Decomposed],
) -> dict[str, Any]:
    return {
        "schema": 1,
        "architecture": model.architecture,
        "model_digest": model.digest,
        "method": "network" if job.space is None else "linear",
        "dimension": None if job.space is None else job.space.dimension,
        "input_dimension": model.input.size,
        "note": note,
        "precision": str(job.model.dtype).removeprefix("torch."),
        "base": "the image" if job.epsilon is not None else str(base) if base else "zero",
        "epsilon": job.epsilon,
        "norms": list(job.norms),
        "seed": job.seed,
        "folder": str(folder.path),
        "images": [result.to_dict() for result in results],
        "warnings": [*model.warnings, *_warnings(results)],
    }
