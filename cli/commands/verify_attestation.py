"""``fp verify-attestation``: is it signed by whom it should be, and is it true?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options, session
from cli.bundles import bundled
from cli.errors import ExitCode
from fingerprint.text import clean

__all__ = ["verify_attestation"]

Source = Annotated[Path, typer.Argument(metavar="FILE", help="What 'fp attest' wrote.")]
KeyFile = Annotated[
    Path,
    typer.Option(
        "--key", metavar="PUB", help="Public key of who should have signed it (FILE.pub)."
    ),
]
SuspectFile = Annotated[
    Path | None,
    typer.Option("--suspect", metavar="FILE", help="The file that should be its subject."),
]
RequirePassed = Annotated[
    bool,
    typer.Option(
        "--require-passed",
        help="Also fail unless a test result is there, and every one is PASSED.",
    ),
]


@bundled
def verify_attestation(
    file: Source,
    screen: options.Screen,
    *,
    key: KeyFile,
    suspect: SuspectFile = None,
    require_passed: RequirePassed = False,
    registry: options.RegistryUrl = None,
) -> None:
    """Check an attestation: its signatures, the file it is about, and the verdict itself.

    With --registry (or FP_REGISTRY) the verdict is judged again from the answers that the registry
    kept, and every field is compared with what it records; nobody is asked. Without one, who
    signed has to be believed.

    That an attestation holds does not say that the model passed: it may state that a policy failed.
    A pipeline that wants both says --require-passed.

    Exit code 0: all of that holds; 1: it is signed, but says what is not so, or with
    --require-passed that a test failed; 3: it was changed, or another key signed it; 4: the verdict
    cannot be judged again, or with --require-passed no test decides; 5: the registry is damaged.
    """
    from cli.attesting import compared, late, passed, recomputed, statements_read

    attested = statements_read(file, key)
    wrong = [] if suspect is None else [line for line in (compared(attested, suspect),) if line]
    if registry is not None:
        with session.open_registry(registry) as opened:
            wrong += recomputed(attested, opened)
    predicate = attested.identity["predicate"]
    checked = ["signature", *(["file"] if suspect else []), *(["verdict"] if registry else [])]
    document = {
        "schema": 2,
        "holds": not wrong,
        "checked": checked,
        "wrong": wrong,
        "statements": [attested.identity, *attested.results],
    }
    from rich.text import Text

    best = f" {clean(predicate['best'])}" if predicate.get("best") else ""
    said = f"{clean(attested.subject['name'])}: {clean(predicate['verdict'])}{best}"
    results = [clean(one["predicate"]["result"]) for one in attested.results]
    screen.data(document, Text("; ".join([said, *results, f"checked: {', '.join(checked)}"])))
    for line in wrong:
        screen.message(clean(line, 500))
    for name in late(attested):
        screen.warn(f"{clean(name)}: was not committed to before the suspect was asked")
    if wrong:
        raise typer.Exit(ExitCode.POLICY_FAILED)
    if registry is None:
        screen.message("the verdict was not judged again; give the registry with --registry")
    if require_passed and (code := passed(attested)):
        stated = ", ".join(results) or "none"
        screen.message(f"--require-passed: expected test results that are PASSED, got {stated}")
        raise typer.Exit(code)
