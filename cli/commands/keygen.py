"""``fp keygen``: a key to sign attestations with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.bundles import bundled
from fingerprint.text import clean

__all__ = ["keygen"]

KeyFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", help="Where to write the private key; the public one goes to FILE.pub."
    ),
]
Bare = Annotated[
    bool,
    typer.Option(
        "--no-passphrase", help="Do not encrypt the private key: whoever reads it can sign."
    ),
]


@bundled
def keygen(file: KeyFile, screen: options.Screen, *, no_passphrase: Bare = False) -> None:
    """Make an Ed25519 key pair to sign attestations with ('fp attest').

    Its passphrase is taken from FP_KEY_PASSPHRASE, or asked for. Files that are there are never
    overwritten. The public key is for whoever checks what is signed: hand it over on a way on which
    nobody can replace it.
    """
    from cli.passphrase import passphrase
    from fingerprint.attestation.keys import make_key, public_path, require_cryptography

    require_cryptography()
    made = make_key(file, None if no_passphrase else passphrase(file, new=True))
    public = public_path(file)
    screen.message(f"wrote the private key to {clean(file)}, the public one to {clean(public)}")
    from rich.text import Text

    document = {"schema": 2, "private": str(file), "public": str(public), "key": made}
    screen.data(document, Text(made))
