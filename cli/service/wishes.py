"""What a caller may wish: the bodies of requests, checked field by field before a job is made.

They say what the options of ``fp register`` and ``fp verify`` say, but for those that are the
operator's: which device computes, whether private addresses may be asked, whose code may be
imported, and never to run anything without a sandbox.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter

from cli.options import GraphOptions, ModelOptions
from fingerprint.errors import InputRefused
from fingerprint.suspects.endpoints import parse_address
from fingerprint.text import clean

__all__ = ["Asking", "Loading", "RegisterWish", "VerifyWish", "plain", "wish_from"]

W = TypeVar("W", "RegisterWish", "VerifyWish")

_STRICT = ConfigDict(extra="forbid")
_MOST_NAMES = 1000

Text = Annotated[str, Field(min_length=1, max_length=300)]
Identifier = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Uri = Annotated[str, Field(pattern="^https?://", max_length=2000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Numbers = Annotated[list[Number], Field(min_length=1, max_length=64)]
Pair = Annotated[list[Number], Field(min_length=2, max_length=2)]
Size = Annotated[int, Field(ge=1, le=65536)]
Sizes = Annotated[list[Size], Field(min_length=1, max_length=4)]
Names = Annotated[list[Text], Field(max_length=_MOST_NAMES)]
Labels = Annotated[list[Text], Field(min_length=1, max_length=100_000)]
Probes = Annotated[int, Field(ge=6, le=480)]
Alpha = Annotated[float, Field(ge=1e-12, le=0.5)]
Secret = Annotated[str, Field(min_length=1, max_length=8000, pattern="^[!-~]+$")]
Seconds = Annotated[float, Field(gt=0, le=300)]
Tries = Annotated[int, Field(ge=1, le=10)]
Rate = Annotated[float, Field(gt=0, le=1000)]
AtATime = Annotated[int, Field(ge=1, le=64)]
Batch = Annotated[int, Field(ge=1, le=1024)]
Queries = Annotated[int, Field(ge=1, le=10**6)]
Output = Annotated[str, Field(min_length=1, max_length=300)] | Annotated[int, Field(ge=-99, le=99)]


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How a model's file is read, and how inputs are prepared."""

    __pydantic_config__ = _STRICT

    arch: Text | None = None
    key: Text | None = None
    input_size: Sizes | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    bounds: Pair | None = None
    output: Output | None = None
    input: Text | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["rgb", "bgr"] | None = None

    def how(self, *, device: str, code: tuple[str, ...]) -> ModelOptions:
        """Returns what loads a file.

        Raises:
            InputRefused: It names code that the operator has not allowed.
        """
        if self.arch is not None:
            module, separator, _ = self.arch.partition(":")
            if separator and module not in ("timm", "transformers", *code):
                raise InputRefused(
                    f"arch: {clean(module)} is code, which this service does not import; its "
                    "operator can allow it: fp serve --allow-code"
                )
        given = {name: getattr(self, name) for name in ("arch", "key", "output")}
        for name in ("input_size", "mean", "std", "bounds"):
            value = getattr(self, name)
            given[name] = None if value is None else tuple(value)
        return ModelOptions(arguments={**given, "follow_symlinks": False, "device": device})

    @property
    def graph(self) -> GraphOptions:
        """What an ONNX file, one that is code, or an address has beyond that."""
        return GraphOptions(input=self.input, layout=self.layout, channels=self.channels)


@dataclass(frozen=True, kw_only=True)
class Asking:
    """How an address is asked."""

    __pydantic_config__ = _STRICT

    # Not those that read the server's own files (generic) or sign with its own rights (sagemaker).
    adapter: Literal["oip", "kserve-v1", "mlflow", "huggingface"] = "oip"
    token: Annotated[Secret | None, Field(description="Kept until the job has ended.")] = None
    labels: Labels | None = None
    dtype: Literal["float32", "uint8"] | None = None
    timeout: Seconds = 30.0
    tries: Tries = 4
    rate: Rate | None = None
    concurrency: AtATime = 4
    per_request: Batch | None = None
    max_queries: Queries | None = None
    as_sent: bool = False


@dataclass(frozen=True, kw_only=True)
class RegisterWish:
    """A model to be registered: an upload, or an address that it is fetched from."""

    __pydantic_config__ = _STRICT

    upload: Identifier | None = None
    uri: Uri | None = None
    name: Annotated[Text | None, Field(description="By default the file's.")] = None
    parent: Text | None = None
    from_scratch: bool = False
    reference: bool = False
    probes: Probes = 24
    answers_only: bool = False
    loading: Loading = field(default_factory=Loading)

    def __post_init__(self) -> None:
        _one_of(self, "upload", "uri")
        _check_address(self.uri)
        if self.parent is not None and self.from_scratch:
            raise ValueError("expected parent or from_scratch, got both")


@dataclass(frozen=True, kw_only=True)
class VerifyWish:
    """A suspect: an upload (a file, or answers to exported pictures), or an address."""

    __pydantic_config__ = _STRICT

    upload: Annotated[Identifier | None, Field(description="Of a model's file.")] = None
    answers: Annotated[Identifier | None, Field(description="Of a table of answers.")] = None
    address: Uri | None = None
    against: Names = field(default_factory=list)
    expect: Text | None = None
    forbid: Names = field(default_factory=list)
    alpha: Alpha = 0.001
    black_box: bool = False
    loading: Loading = field(default_factory=Loading)
    asking: Asking | None = None

    def __post_init__(self) -> None:
        _one_of(self, "upload", "answers", "address")
        _check_address(self.address)
        if (self.address is None) is not (self.asking is None):
            raise ValueError("expected asking with an address, and with nothing else")
        if self.answers is not None and self.loading != Loading():
            raise ValueError("the answers are there already; leave out loading")


def _one_of(wish: object, *names: str) -> None:
    if sum(getattr(wish, name) is not None for name in names) != 1:
        raise ValueError(f"expected one of {', '.join(names)}")


def _check_address(address: str | None) -> None:
    """Refuses an address with parts that hold keys, before it is written down anywhere."""
    if address is not None:
        parse_address(address)


def plain(wish: RegisterWish | VerifyWish) -> dict[str, Any]:
    """Returns plain JSON values; :func:`wish_from` takes them back."""
    return asdict(wish)


def wish_from(kind: type[W], values: dict[str, Any]) -> W:
    """Returns the wish of a job as it was made."""
    made: W = TypeAdapter(kind).validate_python(values)
    return made
