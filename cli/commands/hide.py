"""``fp hide``: an image people do not recognise, which the network answers as before."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options, session
from cli.bundles import bundled
from cli.errors import ExitCode
from cli.folder import Force, Out, OutFolder
from cli.labels import read_labels
from cli.progress import progress_bars
from fingerprint.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cli.images import Inputs
    from cli.output import Output
    from fingerprint.network import Model
    from fingerprint.privacy import Hidden, Recovered

__all__ = ["hide"]

Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="linear: by what the first layers do not notice, as the paper does, the default "
        "where there is such; network: any image with the same answer, which gives away less.",
    ),
]
Aim = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="For linear: noise, or distance from the image, the paper's aim, which tells more.",
    ),
]
Seed = Annotated[str, typer.Option(metavar="TEXT", help="Decides the noise.")]
Labels = Annotated[
    Path | None,
    typer.Option(metavar="CSV", help="Lines of file name and class number: also say the accuracy."),
]
Exact = Annotated[
    bool, typer.Option("--exact", help="Also write images before rounding to 8 bits, as .npy.")
]
Recover = Annotated[
    bool,
    typer.Option("--recover", help="Try to get the images back and write what comes of it."),
]
Public = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Images of the same kind, not these, to learn from for --recover."
    ),
]

_METHODS = ("linear", "network")
_AIMS = ("noise", "distance")


def _check(method: str | None, aim: str, recover: bool, public: Path | None) -> None:
    for option, value, known in (("--method", method, _METHODS), ("--aim", aim, _AIMS)):
        if value is not None and value not in known:
            raise typer.BadParameter(
                f"{option}: expected {' or '.join(known)}, got '{clean(value)}'"
            )
    if public is not None and not recover:
        raise typer.BadParameter("--public: expected together with --recover")


@bundled
def hide(
    model: options.ModelPath,
    images: options.InputPaths,
    how: options.How,
    screen: options.Screen,
    *,
    out: Out,
    method: Method = None,
    aim: Aim = "noise",
    seed: Seed = "",
    labels: Labels = None,
    exact: Exact = False,
    recover: Recover = False,
    public: Public = None,
    force: Force = False,
) -> None:
    """Hide images from people while the network answers as before.

    The linear method keeps exactly the part of an image that the first layers notice: whoever
    knows the weights gets that part back, and it is often most of the image. The network
    method keeps the answer alone, and gives away what the answer gives away.

    Exit code 0: some answers are kept; 4: none is.
    """
    _check(method, aim, recover, public)
    loaded = session.load_answering(model, how)
    from cli.images import read_inputs
    from fingerprint.privacy import hide as hide_images

    inputs = read_inputs(images, loaded.input)
    classes = read_labels(labels, [file.name for file in inputs.files], loaded.output.classes)
    others = _public(public, loaded) if public is not None else None
    folder = OutFolder(out, force=force)
    folder.check(_files(loaded, inputs.names, exact=exact, recover=recover), inputs.files)
    with progress_bars(screen) as progress:
        hidden = hide_images(
            loaded,
            inputs.values,
            seed=seed,
            method="network" if method == "network" else "linear" if method else None,
            aim="distance" if aim == "distance" else "noise",
            progress=progress,
        )
    for name, one in zip(inputs.names, hidden, strict=True):
        _write(folder, loaded, name, one.image)
        if exact and loaded.input.kind == "pixels":
            folder.array(f"{name}-exact", one.exact)
    found = _attacked(loaded, hidden, others, inputs.names, folder) if recover else ()
    _warn(screen, loaded, inputs.names, hidden, recover, others is None)
    from cli.hiding_view import hiding

    document = {
        "schema": 1,
        **loaded.to_dict(),
        "out": str(folder.path),
        **_document(loaded, inputs, hidden, classes, found),
    }
    screen.data(document, hiding(document))
    if document["kept"] == 0:
        raise typer.Exit(ExitCode.INCONCLUSIVE)


def _public(path: Path, model: Model) -> NDArray[Any]:
    """Reads what an attacker learns from, and refuses too little of it before the work.

    Raises:
        UsageError: There are too few.
    """
    from cli.images import read_inputs
    from fingerprint.errors import UsageError
    from fingerprint.privacy.recovery import LEAST_PUBLIC

    values: NDArray[Any] = read_inputs([path], model.input).values
    if len(values) < LEAST_PUBLIC:
        raise UsageError(f"--public: expected at least {LEAST_PUBLIC} images, got {len(values)}")
    return values


def _files(model: Model, names: tuple[str, ...], *, exact: bool, recover: bool) -> list[str]:
    """Returns the files that will be written, so that a clash is found before the work.

    Raises:
        UsageError: Two of them have one name, as of ``cat`` and ``cat-recovered``.
    """
    from fingerprint.errors import UsageError

    pixels = model.input.kind == "pixels"
    suffix = "png" if pixels else "npy"
    files = [f"{name}.{suffix}" for name in names]
    if exact and pixels:
        files += [f"{name}-exact.npy" for name in names]
    if recover:
        files += [f"{name}-recovered.{suffix}" for name in names]
    twice = next((file for file in files if files.count(file) > 1), None)
    if twice is not None:
        raise UsageError(f"hide: two results would be named {twice}; rename an image")
    return files


def _write(folder: OutFolder, model: Model, name: str, values: NDArray[Any]) -> None:
    if model.input.kind == "pixels":
        folder.picture(name, values)
    else:
        folder.array(name, values)


def _attacked(
    model: Model,
    hidden: Sequence[Hidden],
    public: NDArray[Any] | None,
    names: Sequence[str],
    folder: OutFolder,
) -> tuple[Recovered, ...]:
    """Attacks the images as they are sent, and writes what the last attack gives back."""
    import numpy as np

    from fingerprint.network.run import to_inputs
    from fingerprint.privacy import recover

    sent = np.stack([one.image for one in hidden])
    found = recover(model, sent, method=hidden[0].method, public=public)
    if found:
        last = to_inputs(found[-1].images, model.input)
        for name, image in zip(names, last, strict=True):
            _write(folder, model, f"{name}-recovered", image)
    return found


def _document(
    model: Model,
    inputs: Inputs,
    hidden: Sequence[Hidden],
    labels: Sequence[int] | None,
    attacks: Sequence[Recovered],
) -> dict[str, Any]:
    """Returns how alike the images are to their originals, and what of the answers is kept."""
    import numpy as np

    from fingerprint.privacy import similarities

    def alike(images: Any) -> list[dict[str, Any]]:
        return [one.to_dict() for one in similarities(model.input, inputs.values, images)]

    sent = alike(np.stack([one.image for one in hidden]))
    recovered = {attack.attack: alike(attack.images) for attack in attacks}
    images = [
        {
            "name": name,
            "file": str(file),
            **one.to_dict(),
            "similarity": sent[row],
            "recovered": {attack: rows[row] for attack, rows in recovered.items()},
        }
        for row, (name, file, one) in enumerate(
            zip(inputs.names, inputs.files, hidden, strict=True)
        )
    ]
    accuracy: tuple[float | None, float | None] = None, None
    if labels is not None:
        pairs = list(zip(hidden, labels, strict=True))
        before = sum(one.effect.label == label for one, label in pairs)
        after = sum(one.effect.label_after == label for one, label in pairs)
        accuracy = before / len(pairs), after / len(pairs)
    return {
        "images": images,
        "kept": sum(one.is_kept for one in hidden),
        "same_label": sum(one.effect.same_label for one in hidden),
        "accuracy_before": accuracy[0],
        "accuracy_after": accuracy[1],
    }


def _warn(
    screen: Output,
    model: Model,
    names: Sequence[str],
    hidden: Sequence[Hidden],
    recover: bool,
    alone: bool,
) -> None:
    for line in model.warnings:
        screen.warn(line)
    if hidden[0].method == "linear":
        screen.warn(
            "the linear method keeps what the first layers notice of an image: whoever knows the "
            "weights gets that part back, people may still see the image, and --method network "
            "gives away less; "
            + ("the last column says how much" if recover else "--recover measures how much")
        )
    elif recover and alone:
        screen.warn(
            "--recover: an answer alone gives no image back; give images to learn from, --public"
        )
    lost = [name for name, one in zip(names, hidden, strict=True) if not one.is_kept]
    if lost:
        names = ", ".join(clean(name, 60) for name in lost[:5])
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        screen.warn(f"the answer is not kept for {names}{more}; send the others only")
