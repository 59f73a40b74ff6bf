"""``fp verify``: whose model is this?"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer

from cli import options, session
from cli import report as reports
from cli.bundles import bundled
from cli.endpoints import Asking, AskingOptions, require_heard, silences
from cli.errors import ExitCode
from cli.fleets.options import Fleet, FleetOptions
from cli.output import Output
from cli.policy import Judgement, checks, judge
from cli.progress import progress_bars
from cli.targets import Reached, Target, is_answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fingerprint.network import InputSpec, Model
    from fingerprint.suspects import Recorded, Suspect
    from fingerprint.verification import Verification
    from registry import Registry

__all__ = ["verify"]

SuspectName = Annotated[
    str | None,
    typer.Argument(
        metavar="[SUSPECT]",
        show_default=False,
        help="Weights (.safetensors, or a PyTorch state_dict); an .onnx file (pip install "
        "'nullprint[onnx]'); TorchScript or a .pt2, run in a sandbox; what was answered to "
        "pictures of 'fp probes export' (.csv, .json); an address that answers (https://...); or "
        "models:/NAME/VERSION, models:/NAME@ALIAS or runs:/RUN/PATH of MLflow (pip install "
        "'nullprint[mlflow]').",
    ),
]
Against = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Compare with this model only; may be given several times.",
        autocompletion=session.complete_name,
    ),
]
Expect = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Fail unless the suspect is this model or derived from it.",
        autocompletion=session.complete_name,
    ),
]
Forbid = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="Fail if the suspect is this model or derived from it; may be given several times.",
        autocompletion=session.complete_name,
    ),
]
Alpha = Annotated[
    float,
    typer.Option(
        min=1e-12,
        max=0.5,
        help="Accepted rate of false claims of descent, over all compatible models together.",
    ),
]
JournalFile = Annotated[
    Path | None,
    typer.Option(
        "--journal",
        metavar="FILE",
        dir_okay=False,
        help="Keep what is answered in this file; one that is there is gone on with, so that "
        "only what is missing is asked. Of many suspects, their verdicts.",
    ),
]
MaxQueries = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Ask at most N inputs this time; --journal keeps the answers."
    ),
]
BlackBox = Annotated[
    bool,
    typer.Option(
        "--black-box",
        help="Judge by answers alone: the suspect's weights are not compared.",
    ),
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Pictures without labels, none of them trained on: also ask those that a model "
        "names as few other registered models do. Says whether the suspect shares its rare "
        "mistakes, which decides nothing; wants eight other models and 240 pictures.",
    ),
]
Form = Literal["table", "json", "sarif", "junit"]
FormOption = Annotated[
    Form | None,
    typer.Option(
        "--format",
        help="A table for people; or a document on stdout: JSON, SARIF 2.1.0, JUnit XML.",
    ),
]

Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Write the verdict as a page to this .html file, as 'fp report' does."
    ),
]


@bundled
def verify(
    context: typer.Context,
    how: options.How,
    graph: options.Graph,
    asking: AskingOptions,
    fleet: Fleet,
    screen: options.Screen,
    *,
    suspect: SuspectName = None,
    against: Against = None,
    expect: Expect = None,
    forbid: Forbid = None,
    alpha: Alpha = 0.001,
    journal: JournalFile = None,
    max_queries: MaxQueries = None,
    black_box: BlackBox = False,
    data: Data = None,
    form: FormOption = None,
    report: Report = None,
    registry: options.RegistryUrl = None,
) -> None:
    """Compare a suspect with the registered models and say whose it is.

    Answers to pictures of 'fp probes export' are compared with the models that were exported.

    A suspect that shares an origin with a model descends from it, or it from the suspect, or both
    from a third. Policies neither hold nor fail then: they are inconclusive.

    An ONNX file is asked as it is, by ONNX Runtime in a process of its own; its weights are not
    compared.

    TorchScript and programs of torch.export (.pt2) are code. They run in a process that can neither
    write nor open a socket nor start a program, with limits on memory and time, or not at all.

    Where the files of both are at hand, their weights are compared too. That is a line of its own:
    no verdict, policy or exit code depends on it.

    An address is asked in the protocol of --adapter, and first one input of noise, to see what its
    answers look like. Tensors are sent as the options of inputs say that a file is fed.

    Exit code 0: answered, and every --expect and --forbid holds; 1: one does not; 4:
    inconclusive; 5: an address that does not answer at all.

    With --each or --list, many suspects are verified, each in a process of its own: one that fails
    or takes too long is a row and not the end. --journal keeps the verdicts, so that a second run
    asks only what is missing. The exit code is the worst of all.
    """
    screen = _screen(screen, form)
    if suspect is None or fleet.wanted:
        fleet.require_one(suspect, "SUSPECT")
        _check_many(form, report, asking)
        _many(context, fleet, screen, registry, journal)
    if report is not None:
        reports.check(report, "--report")
    with ExitStack() as held:
        opened = held.enter_context(session.open_registry(registry))
        limits, expected, forbidden = session.compared(opened, against or [], expect, forbid or [])
        if asking.dry_run:
            _show_plan(suspect, how, graph, asking, opened, limits, max_queries, screen)
            return
        endpoint = None
        code: tuple[str, ...] = ()
        asked: Model | Suspect
        if is_answers(suspect):
            asking.require_use(suspect)
            asked = _answers(opened, Path(suspect), how, graph, journal or max_queries or data)
            warnings = tuple(asked.facts()["notes"])
            screen.message(_said(asked))
        else:
            found = held.enter_context(session.at_hand(suspect, screen))
            target = Target(found.path if found else suspect, how, graph, asking)
            reached = target.reach(opened, limits, max_queries)
            endpoint, warnings, code = reached.endpoint, reached.warnings, reached.code
            asked = _kept(reached, journal, max_queries)
        given = _pictures(data, asked.input)
        with progress_bars(screen) as progress:
            result = opened.verify(
                asked,
                against=limits,
                expect=expected,
                forbid=forbidden,
                alpha=alpha,
                weights=not black_box,
                data=given,
                code=code,
                device=how.arguments.get("device", "cpu"),
                progress=progress,
            )
        result = replace(result, warnings=(*result.warnings, *silences(endpoint)))
        dossier = None if report is None else opened.dossier(result)
    for warning in dict.fromkeys((*warnings, *result.warnings)):
        screen.warn(warning)
    judgement = judge(result, expect=expected, forbid=forbidden)
    if form in ("sarif", "junit"):
        screen.text(_document(form, result, judgement, suspect, expected, forbidden))
    else:
        from cli import render

        screen.data(result.to_dict(), render.verification(result))
    if report is not None and dossier is not None:
        reports.write(dossier, report)
        screen.message(f"wrote {report}")
    for reason in judgement.reasons:
        screen.message(reason)
    if judgement.code is ExitCode.INCONCLUSIVE:
        require_heard(endpoint)
    raise typer.Exit(judgement.code)


def _show_plan(
    suspect: str,
    how: options.ModelOptions,
    graph: options.GraphOptions,
    asking: Asking,
    opened: Registry,
    limits: list[str],
    max_queries: int | None,
    screen: Output,
) -> None:
    """Says how many questions would be asked, and of whom."""
    from fingerprint.channel import channel_count

    questions = partial(_questions, opened, limits)
    plan = asking.plan(suspect, how, graph, opened, limits, max_queries, questions, channel_count)
    screen.data(plan.to_dict(), plan.view())


def _check_many(form: Form | None, report: Path | None, asking: Asking) -> None:
    """Refuses what one suspect alone can have."""
    given = {
        f"--format {form}": form in ("sarif", "junit"),
        "--report": report is not None,
        "--dry-run": asking.dry_run,
    }
    for option, present in given.items():
        if present:
            raise typer.BadParameter(f"{option} is for one suspect; leave it out")


def _many(
    context: typer.Context,
    fleet: FleetOptions,
    screen: Output,
    registry: str | None,
    journal: Path | None,
) -> NoReturn:
    """Verifies each of many suspects."""
    from cli.fleets.batch import batch

    raise typer.Exit(batch(context, "verify", fleet, screen, registry, journal=journal))


def _screen(screen: Output, form: Form | None) -> Output:
    """Returns where to write; ``--format json`` is ``--json``, and other forms exclude it."""
    from fingerprint.errors import UsageError

    if screen.json and form not in (None, "json"):
        raise UsageError(f"--json and --format {form}: expected one of them")
    return replace(screen, json=form == "json" or screen.json)


def _document(
    form: Form,
    result: Verification,
    judgement: Judgement,
    suspect: str,
    expect: Sequence[str],
    forbid: Sequence[str],
) -> str:
    """Returns a verdict as pipelines read it."""
    found = checks(result, expect=expect, forbid=forbid)
    if form == "junit":
        from cli.formats.junit import junit

        return junit(result, found, suspect)
    from cli.formats.sarif import sarif
    from registry.criteria import release

    return sarif(result, found, suspect, code=judgement.code, version=release())


def _questions(
    registry: Registry, names: Sequence[str], spec: InputSpec
) -> tuple[NDArray[Any], tuple[int, ...]]:
    """Returns what would be asked at most, and how many inputs at a time."""
    questions = registry.questions(spec, against=names)
    return questions.inputs, (len(questions.ids), *[1] * len(questions.repeated))


def _answers(
    registry: Registry,
    path: Path,
    how: options.ModelOptions,
    graph: options.GraphOptions,
    more: object,
) -> Recorded:
    """Returns answers that were written down, as a suspect; options of others mean nothing."""
    from fingerprint.errors import UsageError

    given = [name for name, value in how.arguments.items() if value and name != "device"]
    if given or graph.stated or more:
        raise UsageError(
            f"{path}: the answers are there already; leave out what says how to load or ask a model"
        )
    return registry.read_answers(path)


def _pictures(folder: Path | None, spec: InputSpec) -> NDArray[Any] | None:
    """Returns the pictures of a folder as inputs, or the arrays where inputs are no pictures."""
    if folder is None:
        return None
    from cli.images import read_inputs

    return read_inputs([folder], spec).values


def _said(answers: Recorded) -> str:
    """Says what was understood of answers, and how many there are."""
    facts = answers.facts()
    return f"answers: {facts['said']}; {facts['answered']} of {facts['pictures']} pictures"


def _kept(reached: Reached, journal: Path | None, max_queries: int | None) -> Model | Suspect:
    """Returns whom to ask, through a journal where one or a budget is given.

    Other tries and the budget of an endpoint are its own: it knows what went out.
    """
    from fingerprint.suspects import Journal

    if reached.endpoint is not None:
        endpoint = reached.endpoint
        return endpoint if journal is None else Journal(endpoint, journal, retries=0)
    assert reached.here is not None
    if journal is None and max_queries is None:
        return reached.here
    return Journal(reached.suspect, journal, max_queries=max_queries)
