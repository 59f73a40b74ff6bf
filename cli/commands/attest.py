"""``fp attest``: signs what a recorded verdict says, for whoever gets the model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from fingerprint.text import clean

__all__ = ["attest"]

Number = Annotated[
    int,
    typer.Argument(
        metavar="VERIFICATION", min=1, help="Number of a recorded verdict; 'fp show' lists them."
    ),
]
KeyFile = Annotated[
    Path,
    typer.Option("--key", metavar="FILE", help="Private key, as 'fp keygen' makes it."),
]
Target = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="FILE", help="Where to write: a .intoto.jsonl file."),
]
BomTarget = Annotated[
    Path | None,
    typer.Option(
        "--bom",
        metavar="FILE",
        help="Also write a CycloneDX bill of materials that refers to the attestation.",
    ),
]
Expect = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="State whether the suspect is this model or derived from it."
    ),
]
Forbid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME", help="State whether the suspect is neither this model nor derived from it."
    ),
]


@bundled
def attest(
    verification: Number,
    screen: options.Screen,
    *,
    key: KeyFile,
    output: Target,
    bom: BomTarget = None,
    expect: Expect = None,
    forbid: Forbid = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Sign what a recorded verdict says, as in-toto statements for whoever gets the model.

    One statement says whose the suspect is and on what that rests, the other which policies hold:
    those of 'fp verify', unless others are named here.
    Neither shows probes, answers or the registry's seed. 'fp verify-attestation' checks them.

    A key's passphrase is taken from FP_KEY_PASSPHRASE, or asked for.
    """
    from cli.attesting import statements_of, uncommitted
    from cli.formats.bom import bom as bill
    from cli.formats.bom import require_cyclonedx
    from cli.passphrase import passphrase
    from fingerprint.attestation.envelope import sealed
    from fingerprint.attestation.keys import (
        is_encrypted,
        key_id,
        private_key,
        require_cryptography,
    )
    from fingerprint.canonical import sha256_of
    from fingerprint.files import write_whole
    from registry.criteria import release
    from registry.policies import Policies

    require_cryptography()
    if bom is not None:
        require_cyclonedx()
    with session.open_registry(registry) as opened:
        forbidden = session.require(opened, forbid or [])
        expected = session.require(opened, expect or [])
        proof = opened.proof(verification)
    committed = Policies.of_criteria(proof.criteria)
    if committed is not None and not (forbidden or expected):
        expected, forbidden = list(committed.expect), list(committed.forbid)
    signing = private_key(key, passphrase(key) if is_encrypted(key) else None)
    statements = statements_of(proof, expect=expected, forbid=forbidden)
    body = "".join(f"{sealed(one, signing)}\n" for one in statements).encode()
    write_whole(output, lambda stream: stream.write(body))
    if bom is not None:
        text = bill(statements[0], (output.name, sha256_of(body)), version=release())
        write_whole(bom, lambda stream: stream.write(text.encode()))
    stated = [*(f"forbid {one}" for one in forbidden), *(f"expect {one}" for one in expected)]
    for name in uncommitted(committed.to_dict() if committed else None, stated):
        screen.warn(f"{clean(name)}: was not committed to before the suspect was asked")
    (subject,) = statements[0]["subject"]
    result = statements[1]["predicate"]["result"]
    screen.message(
        f"wrote {clean(output)}: verification {verification} of {clean(subject['name'])}, "
        f"{proof.recorded.verdict}, {result}, signed by {key_id(signing.public_key())[:16]}"
    )
    if screen.json:
        screen.data({"schema": 2, "statements": list(statements), "file": str(output)})
