"""A suspect behind an address: its options, and what asking it would take.

::

    fp verify https://models.example/v2/models/ours --adapter oip --token-env TOKEN
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.bundles import Bundle
from cli.options import GraphOptions, ModelOptions
from fingerprint.text import clean

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from rich.console import RenderableType

    from fingerprint.network import InputSpec
    from fingerprint.suspects.endpoints import Adapter, Endpoint, InputFlags
    from registry import Registry

__all__ = ["Asking", "AskingOptions", "Plan", "is_address", "require_heard", "silences"]

_MAX_LABELS = 2**24
_TRIALS = 1
"""Inputs that only show what answers look like."""

AdapterName = Annotated[
    str | None,
    typer.Option(
        "--adapter",
        metavar="NAME",
        help="Of an address: oip (Open Inference Protocol v2), kserve-v1 (:predict), mlflow, "
        "huggingface, sagemaker, or generic:FILE, a TOML file that says what is sent and where "
        "answers are.",
    ),
]
TokenEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="Environment variable with the token that an address is asked with."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        dir_okay=False,
        help="Of an address that answers with names: all its classes, one a line, in the order "
        "of the model's outputs.",
    ),
]
DtypeOption = Annotated[
    Literal["float32", "uint8"] | None,
    typer.Option(
        "--dtype",
        help="What an address wants: numbers in bounds, normalised by --mean and --std, or pixels "
        "as they are, 0 to 255; by default what it says.",
    ),
]
Timeout = Annotated[float, typer.Option(metavar="S", help="Seconds for one try of a request.")]
Tries = Annotated[int, typer.Option(min=1, metavar="N", help="Tries of one request.")]
Rate = Annotated[
    float | None, typer.Option(metavar="N", help="Requests a second at most; by default no limit.")
]
Concurrency = Annotated[
    int, typer.Option(min=1, max=64, metavar="N", help="Requests on their way at a time.")
]
PerRequest = Annotated[
    int | None,
    typer.Option(min=1, max=1024, metavar="N", help="Inputs in one request at most."),
]
AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private", help="Ask an address that is not of the public internet."),
]
AsSent = Annotated[
    bool,
    typer.Option(
        "--as-sent",
        help="State that an address gives its model what it is sent, unchanged, and that the "
        "options of inputs are right; without that nobody is called independent.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Say what an address would be asked, and ask nothing, not even its name."
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How an address is asked.

    Attributes:
        adapter: Name of the protocol; None for a suspect that is a file.
        token_env: Environment variable with the token.
        labels: File with the names of the classes.
        dtype: Of tensors.
        limits: Keyword arguments of ``Limits``.
        per_request: Inputs in one request at most.
        allow_private: Whether the address may be one of a private network.
        as_sent: Whether the model is known to be given what is sent.
        dry_run: Whether nothing is to be sent.
    """

    adapter: str | None
    token_env: str | None
    labels: Path | None
    dtype: Literal["float32", "uint8"] | None
    limits: dict[str, Any]
    per_request: int | None
    allow_private: bool
    as_sent: bool
    dry_run: bool

    def require_use(self, suspect: str) -> None:
        """Refuses options that are only for addresses, where a suspect is a file.

        Raises:
            typer.BadParameter: One was given.
        """
        if is_address(suspect):
            return
        usual, ours = ({**vars(one), **one.limits} for one in (asking_options(), self))
        given = [name for name, value in ours.items() if name != "limits" and value != usual[name]]
        if given:
            option = f"--{given[0].replace('_', '-')}"
            raise typer.BadParameter(f"{option}: expected an address such as https://HOST/PATH")

    def connect(
        self,
        url: str,
        how: ModelOptions,
        graph: GraphOptions,
        registry: Registry,
        names: Sequence[str],
        max_queries: int | None,
    ) -> Endpoint:
        """Reaches an address, and finds out what it takes and gives.

        Args:
            url: The address.
            how: The options that files have; those of inputs hold for tensors that are sent.
            graph: Those that ONNX files have; layout and channels hold for tensors as well.
            registry: Whose models it is compared with.
            names: Models it is compared with; all if there are none.
            max_queries: Inputs that are sent at most.

        Raises:
            UsageError: The call is wrong.
            InputRefused: The address may not be asked, or gives what cannot be compared.
            EnvironmentFailure: It does not answer.
        """
        from fingerprint.suspects.endpoints import Limits, Transport, connect, reachable_at

        adapter = self._adapter(url, how, graph)
        flags = self._flags(how, graph, _known_input(registry, names))
        secrets, labels = self._secrets(), self._labels()
        limits = Limits(**self.limits, max_queries=max_queries)
        reachable = reachable_at(adapter.address, allow_private=self.allow_private)
        sign = None if secrets else adapter.signature()
        transport = Transport(adapter.address, reachable, limits, secrets=secrets, sign=sign)
        return connect(adapter, transport, flags, labels=labels, as_sent=self.as_sent)

    def plan(
        self,
        url: str,
        how: ModelOptions,
        graph: GraphOptions,
        registry: Registry,
        names: Sequence[str],
        max_queries: int | None,
        questions: Callable[[InputSpec], tuple[NDArray[Any], tuple[int, ...]]],
        further: Callable[[InputSpec], int] = lambda spec: 0,
    ) -> Plan:
        """Says what an address would be asked; nothing is sent, and no name is looked up.

        Takes what :meth:`connect` takes, and refuses what can be refused without asking.
        ``questions`` says of a kind of input what is asked, and how many inputs at a time;
        ``further`` how many more are asked where nobody is matched.
        """
        from fingerprint.suspects.endpoints import Description, Limits, encoded

        adapter = self._adapter(url, how, graph)
        flags = self._flags(how, graph, _known_input(registry, names))
        form, _ = flags.form(adapter, Description())
        Limits(**self.limits, max_queries=max_queries)
        self._secrets()
        inputs, together = questions(form.spec)
        first = encoded(adapter, form, inputs[: adapter.batch])[0]
        return Plan(
            address=str(adapter.address),
            adapter=adapter.name,
            questions=sum(together) + _TRIALS,
            further=further(form.spec),
            requests=sum(math.ceil(some / first.inputs) for some in together) + _TRIALS,
            request_inputs=first.inputs,
            request_bytes=len(first.body),
            max_queries=max_queries,
        )

    def _adapter(self, url: str, how: ModelOptions, graph: GraphOptions) -> Adapter:
        from fingerprint.errors import UsageError
        from fingerprint.suspects.endpoints import make_adapter, parse_address

        given = {**how.arguments, **vars(graph)}
        if not is_address(url):
            raise UsageError(f"{clean(url)}: expected an address such as https://HOST/PATH")
        for_files = ("arch", "key", "follow_symlinks", "input", "no_sandbox", "time_limit")
        files = [name for name in for_files if given.get(name)]
        if files:
            option = f"--{files[0].replace('_', '-')}"
            raise UsageError(f"{option} is for files; an address is asked, not loaded")
        if self.adapter is None:
            raise UsageError(
                "--adapter: expected the protocol of the address, such as oip; see 'fp verify "
                "--help'"
            )
        adapter = make_adapter(self.adapter, parse_address(url), output=given.get("output"))
        if self.per_request and adapter.batch > 1:
            adapter.batch = self.per_request
        elif self.per_request and self.per_request > 1:
            raise UsageError(f"--per-request: {adapter.name} takes one input in a request here")
        return adapter

    def _flags(self, how: ModelOptions, graph: GraphOptions, known: InputSpec | None) -> InputFlags:
        from fingerprint.suspects.endpoints import InputFlags

        stated = {name: how.arguments.get(name) for name in ("input_size", "mean", "std", "bounds")}
        channels = graph.channels or "rgb"
        return InputFlags(
            **stated, layout=graph.layout, channels=channels, dtype=self.dtype, known=known
        )

    def _secrets(self) -> dict[str, str]:
        from fingerprint.errors import UsageError
        from fingerprint.suspects.endpoints import header_value

        if self.token_env is None:
            return {}
        name = clean(self.token_env)
        if self.token_env not in os.environ:
            raise UsageError(f"--token-env: expected a variable of the environment, {name} is none")
        token = header_value(os.environ[self.token_env], f"--token-env: ${name}")
        return {"Authorization": f"Bearer {token}"}

    def _labels(self) -> list[str] | None:
        from fingerprint.errors import UsageError
        from fingerprint.formats.file_bytes import read_file

        if self.labels is None:
            return None
        try:
            text = read_file(str(self.labels), max_bytes=_MAX_LABELS).data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise UsageError(f"--labels: {clean(self.labels)}: expected UTF-8 text") from error
        return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an address would be asked.

    Attributes:
        address: Whom.
        adapter: In which protocol.
        questions: How many inputs at most, with the one that shows what answers look like.
        further: How many more where it matches nobody, to see what reaches its model.
        requests: In how many requests.
        request_inputs: Inputs of one request.
        request_bytes: Size of its body, about.
        max_queries: Inputs that would be sent at most; None for no limit.
    """

    address: str
    adapter: str
    questions: int
    further: int
    requests: int
    request_inputs: int
    request_bytes: int
    max_queries: int | None

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {"schema": 1, "dry_run": dict(vars(self))}

    def view(self) -> RenderableType:
        """Returns what people are shown."""
        from rich.text import Text

        further = budget = ""
        if self.further:
            further = f",\nand {self.further} more if it matches nobody"
        if self.max_queries is not None and self.max_queries < self.questions:
            budget = f"\n--max-queries {self.max_queries} would end it before"
        return Text(
            f"{self.address} ({self.adapter}) would be asked at most {self.questions} inputs in "
            f"{self.requests} requests,\nof {self.request_inputs} inputs and about "
            f"{self.request_bytes} bytes each{further}; further tries come on top{budget}\n"
            "nothing was sent"
        )


def _known_input(registry: Registry, names: Sequence[str]) -> InputSpec | None:
    """Returns what the models take that a suspect is compared with, if all take the same."""
    from fingerprint.network import InputSpec

    chosen = [one for one in registry.models() if not names or one.name in names]
    specs = {spec.domain: spec for spec in (InputSpec.from_dict(dict(one.input)) for one in chosen)}
    return next(iter(specs.values())) if len(specs) == 1 else None


def is_address(suspect: str) -> bool:
    """Whether a suspect is named by an address and not by a file: ``scheme://...``."""
    return "://" in suspect


def silences(endpoint: Endpoint | None) -> tuple[str, ...]:
    """Says how much an address left unanswered of what it was asked, if one was asked."""
    if endpoint is None or not endpoint.unanswered:
        return ()
    asked = endpoint.unanswered + endpoint.answered
    return (f"{endpoint.unanswered} of {asked} inputs got no answer",)


def require_heard(endpoint: Endpoint | None) -> None:
    """Refuses to call it inconclusive where an address answered nothing of what it was asked.

    Raises:
        EnvironmentFailure: It did not.
    """
    from fingerprint.errors import EnvironmentFailure

    if endpoint is not None and endpoint.unanswered and not endpoint.answered:
        raise EnvironmentFailure(f"no question was answered: {endpoint.failure}")


def asking_options(
    *,
    adapter: AdapterName = None,
    token_env: TokenEnv = None,
    labels: Labels = None,
    dtype: DtypeOption = None,
    timeout: Timeout = 30.0,
    tries: Tries = 4,
    rate: Rate = None,
    concurrency: Concurrency = 4,
    per_request: PerRequest = None,
    allow_private: AllowPrivate = False,
    as_sent: AsSent = False,
    dry_run: DryRun = False,
) -> Asking:
    """Collects the options of an address."""
    return Asking(
        adapter=adapter,
        token_env=token_env,
        labels=labels,
        dtype=dtype,
        limits={"timeout": timeout, "tries": tries, "rate": rate, "concurrency": concurrency},
        per_request=per_request,
        allow_private=allow_private,
        as_sent=as_sent,
        dry_run=dry_run,
    )


AskingOptions = Annotated[Asking, Bundle(asking_options)]
