"""Which names a checkpoint's pickle may use, and what harmless thing stands in for each.

torch's own names rebuild tensors, and NumPy's arrays are rebuilt from their bytes. Everything
else that training scripts leave beside the weights (options, paths, classes, losses, optimizers)
is replaced by an object that keeps nothing, so no foreign class is imported, let alone built.

Some names are refused all the same: what only a file that means harm would use, and functions
that are called, because nobody saves those beside weights. The stand-ins would make them
harmless too; but a file that runs code wherever it is opened less carefully should be known.
"""

from __future__ import annotations

import re
import sys
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import torch

from fingerprint.errors import IncompatibleModel, InputRefused, UnsafeFile
from fingerprint.formats.numpy_arrays import ArrayBytes, ElementType, Rebuild
from fingerprint.formats.pickle_scan import Use
from fingerprint.text import clean, listed

__all__ = ["holds_layers", "require_allowed", "stand_ins"]


class Inert:
    """Takes any arguments and any state, and keeps none of them."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Inert:
        """Ignores the arguments."""
        del args, kwargs
        return super().__new__(cls)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        del args, kwargs

    def __setstate__(self, state: Any) -> None:
        """Ignores the state."""
        del state

    def __hash__(self) -> int:
        return 0

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Inert)


class PlainDict:
    """Becomes an empty ordered dictionary, which may then be filled and given a state."""

    def __new__(cls, *args: Any) -> OrderedDict[Any, Any]:  # type: ignore[misc]
        """Ignores the arguments."""
        del args
        return OrderedDict()


class PlainList:
    """Becomes an empty plain list, which may then be filled."""

    def __new__(cls, *args: Any) -> list[Any]:  # type: ignore[misc]
        """Ignores the arguments."""
        del args
        return []


class ListWithState(list[Any]):
    """Becomes an empty list that may be filled, and forgets its state."""

    def __init__(self, *args: Any) -> None:
        super().__init__()
        del args

    def __setstate__(self, state: Any) -> None:
        """Ignores the state."""
        del state


class Part:
    """Becomes the class of inert objects, whatever part of whatever class is asked for."""

    def __new__(cls, *args: Any) -> type[Inert]:  # type: ignore[misc]
        """Ignores the arguments."""
        del args
        return Inert


_TORCH = {
    "_codecs.encode", "builtins.set", "collections.OrderedDict", "torch.Size", "torch.device",
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor_v3",
    "builtins.bytearray", "builtins.complex", "torch.serialization._get_layout",
}  # fmt: skip
"""What torch's own reader of weights rebuilds tensors with."""

_TYPES = {"torch.Tensor", "torch.storage.UntypedStorage"}
"""Types that may be named; called, they would allocate what they are told to."""

_STORAGE = re.compile(r"torch\.[A-Za-z0-9]+Storage")
_ARRAYS: dict[str, type] = {
    "numpy.dtype": ElementType,
    "numpy.ndarray": ArrayBytes,
    "numpy.core.multiarray._reconstruct": Rebuild,
    "numpy._core.multiarray._reconstruct": Rebuild,
}
_DICTIONARIES = ("collections.Counter", "collections.defaultdict")
_KNOWN = re.compile(
    r"argparse\.Namespace|types\.SimpleNamespace|typing\.\w+|functools\.partial|enum\.\w+"
    r"|builtins\.(bool|bytes|dict|float|frozenset|int|list|object|range|slice|str|tuple|type"
    r"|Ellipsis|NotImplemented)"
    r"|collections\.\w+|datetime\.(date|datetime|time|timedelta|timezone)|decimal\.Decimal"
    r"|fractions\.Fraction|uuid\.UUID|pathlib\.(_local\.)?(Pure)?(Posix|Windows)?Path|re\.Pattern"
    r"|re\._compile|types\.GenericAlias|zoneinfo\.ZoneInfo|logging\.(getLogger|Logger)"
    r"|numpy\.(dtypes\.\w+|bool_?|[a-z]+\d+|_?core\.multiarray\.scalar|_core\.multiarray\.scalar"
    r"|random\._pickle\.__\w+_ctor|random\._(mt19937|pcg64|philox|sfc64|generator)\.\w+"
    r"|random\.bit_generator\.\w+|random\.mtrand\.RandomState)"
    r"|torch\.torch_version\.TorchVersion"
)
"""Names of which an instance is commonly left in a checkpoint, classes in small letters too."""

_FUNCTIONS = re.compile(
    r"builtins\.(abs|getattr|len|max|min|round|sorted|sum)|_operator\.(eq|ge|getitem|gt|le|lt|ne)"
    r"|numpy\.\w+|torch\._C\._VariableFunctionsClass(\.\w+)?"
)
"""Functions of which the mere name is commonly left in a checkpoint, such as an activation's."""

_LEFT_BESIDE = ("torch.nn.", "torch.optim.", "torch.distributions.", "torch.utils.data.",
                "torch.amp.", "torch.cuda.amp.", "torch._C._nn.")  # fmt: skip
_LAYERS = ("torch.nn.modules.", "torch.nn.parallel.", "torch.fx.")
_HARMFUL = {
    *sys.stdlib_module_names, "__builtin__", "cloudpickle", "commands", "dill", "distutils", "imp",
    "joblib", "lib2to3", "numpy", "pip", "pkg_resources", "setuptools", "torch",
}  # fmt: skip
"""Packages of which only the names above are let through: some run what they are given."""

_REFUSED_TENSORS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_nested_tensor": "a nested tensor",
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor on the meta device, without values",
    "torch._utils._rebuild_wrapper_subclass": "a tensor subclass",
    "torch._tensor._rebuild_from_type_v2": "a tensor subclass, or attributes of a tensor",
    "torch._utils._rebuild_parameter_with_state": "attributes of a parameter",
    "torch.distributed.tensor.DTensor": "a tensor spread over devices",
    "torch.ao.nn.quantized": "a quantised layer",
}
_QUANTISERS = re.compile(r"(torchao|bitsandbytes|quanto|optimum\.quanto|torch\.ao|hqq|gguf)\.")


def stand_ins(names: Mapping[str, Use]) -> list[Any]:
    """Returns what stands in for each name, in the form ``torch.serialization.safe_globals`` takes.

    Args:
        names: What a pickle imports, after :func:`require_allowed`.
    """
    own = [(_stand_in(name, use), name) for name, use in names.items() if not _torchs_own(name)]
    # Of what a part is, instances may be made: the class that stands for it has to be known too.
    return [*own, (Inert, f"{Inert.__module__}.{Inert.__qualname__}")]


def holds_layers(names: Mapping[str, Use]) -> bool:
    """Whether the pickle makes layers of torch, as that of a whole network does."""
    return any(use.called and name.startswith(_LAYERS) for name, use in names.items())


def require_allowed(names: Mapping[str, Use], path: str) -> None:
    """Checks the names a pickle uses.

    Args:
        names: Every ``module.name`` it imports and what it does with it, first use first.
        path: The file, for messages.

    Raises:
        UnsafeFile: One is not allowed; the message names it.
        IncompatibleModel: One rebuilds a kind of tensor that is no weight.
    """
    tensors = [name for name in names if _kind_of_tensor(name)]
    refused = [
        name for name, use in names.items() if name not in tensors and not _allowed(name, use)
    ]
    if refused and not (tensors and all(name.startswith("torch.") for name in refused)):
        raise UnsafeFile(
            f"{path}: the pickle uses {listed(refused)}, which is no plain data and was not "
            "loaded; save the state_dict alone: torch.save(model.state_dict(), path)"
        )
    if tensors:
        raise _no_weight(tensors[0], path)


def _stand_in(name: str, use: Use) -> type:
    if name in _ARRAYS:
        return _ARRAYS[name]
    if name in _DICTIONARIES or "items" in use.filled:
        return PlainDict
    if name == "builtins.getattr":
        return Part
    if "elements" in use.filled:
        return ListWithState if "state" in use.filled else PlainList
    return Inert


def _torchs_own(name: str) -> bool:
    if name in _TORCH or name in _TYPES or _STORAGE.fullmatch(name):
        return True
    module, _, leaf = name.rpartition(".")
    return module == "torch" and isinstance(getattr(torch, leaf, None), torch.dtype)


def _allowed(name: str, use: Use) -> bool:
    if name in _ARRAYS or _KNOWN.fullmatch(name):
        return True
    if name in _TYPES or _FUNCTIONS.fullmatch(name):
        return not use.called
    if _torchs_own(name):
        return True
    is_class = name.rpartition(".")[2].lstrip("_")[:1].isupper()
    if use.called and not is_class:
        return False
    return name.startswith(_LEFT_BESIDE) or name.partition(".")[0] not in _HARMFUL


def _kind_of_tensor(name: str) -> str | None:
    if _QUANTISERS.match(name):
        return "a quantised tensor"
    return _REFUSED_TENSORS.get(name)


def _no_weight(name: str, path: str) -> InputRefused:
    kind = _kind_of_tensor(name) or ""
    way_out = "expected dense real weights, save the float32 state_dict"
    if "quantised" in kind or "subclass" in kind:
        way_out = (
            "expected dense real weights: dequantise them (tensor.dequantize() for each) and save "
            "that state_dict, or that of the network before it was quantised"
        )
    return IncompatibleModel(f"{path}: holds {kind} ({clean(name)}); {way_out}")
