"""Options that several commands share, each declared once.

A command takes ``how: How`` and ``screen: Screen`` and gets all of them, parsed.
The texts are parsed here too, by functions without imports, so that a mistyped option is
reported at once and not after torch has been loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.bundles import Bundle
from cli.output import Output
from fingerprint.text import clean

__all__ = [
    "Device",
    "Graph",
    "GraphOptions",
    "How",
    "InputPaths",
    "ModelOptions",
    "ModelPath",
    "RegistryUrl",
    "Screen",
]
__all__ += ["graph_options", "model_options", "output_options"]

ModelPath = Annotated[
    Path,
    # Whether it can be read is the reader's to say, with the exit code for that.
    typer.Argument(
        metavar="FILE",
        help="Weights: .safetensors, or a PyTorch state_dict.",
        readable=False,
    ),
]
InputPaths = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE...",
        help="Pictures, or .npy arrays for other inputs; or folders of them.",
        readable=False,
    ),
]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="SPEC",
        help="timm:NAME, transformers:CLASS or package.module:factory; left out, a bare timm "
        "state_dict is recognised, and a folder of transformers.",
    ),
]
InputSize = Annotated[
    str | None,
    typer.Option(metavar="C,H,W", help="Shape of one input."),
]
Mean = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="Mean the model subtracts."),
]
Std = Annotated[
    str | None,
    typer.Option(metavar="A,B,C", help="Deviation the model divides by."),
]
Bounds = Annotated[
    str | None,
    typer.Option(
        metavar="LO,HI",
        help="Range of one input value, for inputs that are not 8-bit images.",
    ),
]
OutputField = Annotated[
    str | None,
    typer.Option(
        "--output",
        metavar="FIELD",
        help="Field or index of the logits, if the model returns several values.",
    ),
]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        metavar="NAME",
        help="Where in the file the weights lie, such as ema, if several would fit.",
    ),
]
FollowSymlinks = Annotated[
    bool,
    typer.Option("--follow-symlinks", help="Read a weights file through a link."),
]
GraphInput = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="NAME",
        help="Of an ONNX file with several inputs, which one is asked; the others get zeros.",
    ),
]
LayoutOption = Annotated[
    Literal["nchw", "nhwc"] | None,
    typer.Option(
        "--layout",
        help="Where an ONNX file, one that is code, or an address wants the channels; by default "
        "where it says so.",
    ),
]
ChannelsOption = Annotated[
    Literal["rgb", "bgr"] | None,
    typer.Option(
        "--channels",
        help="In which order an ONNX file, one that is code, or an address wants them; --mean and "
        "--std stay in the order R,G,B.",
    ),
]
NoSandbox = Annotated[
    bool,
    typer.Option(
        "--no-sandbox",
        help="Run an ONNX file, or one that is code, with the rights you have. A file that is code "
        "can then do whatever you can.",
    ),
]
TimeLimit = Annotated[
    int | None,
    typer.Option(
        "--time-limit",
        metavar="SECONDS",
        min=1,
        help="Longest time that a file that runs in a process of its own may take for all it is "
        "asked; by default two hours for 'fp verify'.",
    ),
]
RegistryUrl = Annotated[
    str | None,
    typer.Option(
        "--registry",
        metavar="URL",
        envvar="FP_REGISTRY",
        help="Database URL or SQLite file; by default in the user data folder.",
    ),
]
Device = Annotated[
    str,
    typer.Option(metavar="NAME", help="Where to compute: cpu, cuda, mps."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="One JSON document on stdout, nothing else."),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="No messages on stderr except errors."),
]


def _numbers(option: str, text: str | None, example: str) -> tuple[float, ...] | None:
    """Parses comma-separated finite numbers."""
    if text is None:
        return None
    try:
        values = tuple(float(part) for part in text.split(","))
    except ValueError:
        values = ()
    if not values or not all(abs(value) < float("inf") for value in values):
        raise typer.BadParameter(
            f"{option}: expected numbers such as {example}, got '{clean(text)}'"
        )
    return values


def _sizes(option: str, text: str | None) -> tuple[int, ...] | None:
    """Parses comma-separated positive whole numbers."""
    if text is None:
        return None
    parts = text.split(",")
    if not all(part.strip().isascii() and part.strip().isdigit() for part in parts):
        raise typer.BadParameter(
            f"{option}: expected whole numbers such as 3,32,32, got '{clean(text)}'"
        )
    sizes = tuple(int(part) for part in parts)
    if any(size == 0 for size in sizes):
        raise typer.BadParameter(f"{option}: expected positive sizes, got '{clean(text)}'")
    return sizes


def _bounds(option: str, text: str | None) -> tuple[float, float] | None:
    """Parses two numbers in rising order."""
    values = _numbers(option, text, "0,1")
    if values is None:
        return None
    if len(values) != 2 or values[0] >= values[1]:
        raise typer.BadParameter(f"{option}: expected LO,HI with LO < HI, got '{clean(text)}'")
    return (values[0], values[1])


def _field(text: str | None) -> str | int | None:
    """Returns an index as a number and a name as it is."""
    is_index = text is not None and text.isascii() and text.removeprefix("-").isdigit()
    return int(text) if text is not None and is_index else text


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """How a weights file is to be read: what every command that takes a model passes on.

    Attributes:
        arguments: Keyword arguments for ``fingerprint.load_model``.
    """

    arguments: dict[str, Any] = field(default_factory=dict)


def model_options(
    *,
    arch: Arch = None,
    input_size: InputSize = None,
    mean: Mean = None,
    std: Std = None,
    bounds: Bounds = None,
    output: OutputField = None,
    key: Key = None,
    follow_symlinks: FollowSymlinks = False,
    device: Device = "cpu",
) -> ModelOptions:
    """Parses the options of a model.

    Raises:
        typer.BadParameter: One of them does not parse.
    """
    return ModelOptions(
        arguments={
            "arch": arch,
            "input_size": _sizes("--input-size", input_size),
            "mean": _numbers("--mean", mean, "0.485,0.456,0.406"),
            "std": _numbers("--std", std, "0.229,0.224,0.225"),
            "bounds": _bounds("--bounds", bounds),
            "output": _field(output),
            "key": key,
            "follow_symlinks": follow_symlinks,
            "device": device,
        }
    )


@dataclass(frozen=True, kw_only=True)
class GraphOptions:
    """How an ONNX file, one that is code, or an address is asked, beyond what any model needs.

    Attributes:
        input: Name of the input that is asked, of a file.
        layout: Where the channels are.
        channels: In which order they are.
        no_sandbox: Whether a file runs without a sandbox.
        time_limit: How many seconds it may take; None for what is usual.
    """

    input: str | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    channels: Literal["rgb", "bgr"] | None = None
    no_sandbox: bool = False
    time_limit: int | None = None

    @property
    def stated(self) -> dict[str, Any]:
        """What was given, by the name of the option."""
        given = vars(self).items()
        return {
            name.replace("_", "-"): value for name, value in given if value not in (None, False)
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for whatever loads such a file."""
        names = ("input", "layout", "channels")
        arguments: dict[str, Any] = {name: getattr(self, name) for name in names}
        if self.no_sandbox:
            arguments["sandbox"] = False
        if self.time_limit is not None:
            arguments["time_limit"] = self.time_limit
        return arguments


def graph_options(
    *,
    input: GraphInput = None,
    layout: LayoutOption = None,
    channels: ChannelsOption = None,
    no_sandbox: NoSandbox = False,
    time_limit: TimeLimit = None,
) -> GraphOptions:
    """Gathers the options of an ONNX file, and of one that is code."""
    return GraphOptions(
        input=input,
        layout=layout,
        channels=channels,
        no_sandbox=no_sandbox,
        time_limit=time_limit,
    )


def output_options(*, json: Json = False, quiet: Quiet = False) -> Output:
    """Decides how a command shows what it found."""
    return Output(json=json, quiet=quiet)


Graph = Annotated[GraphOptions, Bundle(graph_options)]
How = Annotated[ModelOptions, Bundle(model_options)]
Screen = Annotated[Output, Bundle(output_options)]
