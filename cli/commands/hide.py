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
    from numpy.typing import NDArray

    from cli.hiding_view import Hiding
    from cli.output import Output
    from fingerprint.network import Model

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
    from cli.hiding_view import Hiding, hiding
    from cli.images import read_inputs
    from fingerprint.privacy import hide as hide_images
    from fingerprint.privacy import similarities

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
    import numpy as np

    sent = np.stack([one.image for one in hidden])
    result = Hiding(
        names=inputs.names,
        files=tuple(map(str, inputs.files)),
        hidden=hidden,
        similarities=tuple(similarities(loaded.input, inputs.values, sent)),
        labels=classes,
        attacks=(),
    )
    for name, one in zip(inputs.names, hidden, strict=True):
        _write(folder, loaded, name, one.image)
        if exact and loaded.input.kind == "pixels":
            folder.array(f"{name}-exact", one.exact)
    if recover:
        result = _attacked(result, loaded, inputs.values, sent, others, folder)
    _warn(screen, loaded, result, recover, others is None)
    screen.data(
        {"schema": 1, **loaded.to_dict(), "out": str(folder.path), **result.to_dict()},
        hiding(result),
    )
    if result.kept == 0:
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
    result: Hiding,
    model: Model,
    originals: NDArray[Any],
    sent: NDArray[Any],
    public: NDArray[Any] | None,
    folder: OutFolder,
) -> Hiding:
    """Attacks the images as they are sent, and writes what the last attack gives back."""
    from dataclasses import replace

    from fingerprint.network.run import to_inputs
    from fingerprint.privacy import recover, similarities

    found = recover(model, sent, method=result.hidden[0].method, public=public)
    attacks = []
    for attack in found:
        alike = similarities(model.input, originals, attack.images)
        attacks.append((attack.attack, tuple(alike)))
    if found:
        last = to_inputs(found[-1].images, model.input)
        for name, image in zip(result.names, last, strict=True):
            _write(folder, model, f"{name}-recovered", image)
    return replace(result, attacks=tuple(attacks))


def _warn(screen: Output, model: Model, result: Hiding, recover: bool, alone: bool) -> None:
    for line in model.warnings:
        screen.warn(line)
    if result.hidden[0].method == "linear":
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
    lost = [name for name, one in zip(result.names, result.hidden, strict=True) if not one.is_kept]
    if lost:
        names = ", ".join(clean(name, 60) for name in lost[:5])
        more = f" and {len(lost) - 5} more" if len(lost) > 5 else ""
        screen.warn(f"the answer is not kept for {names}{more}; send the others only")
