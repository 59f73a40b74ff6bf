"""Which names a checkpoint's pickle may use, and what harmless thing stands in for each.

torch's own names rebuild tensors. Everything else that training scripts commonly leave beside
the weights (options, paths, NumPy scalars, configuration objects) is replaced by an object that
keeps nothing, so no foreign class is imported, let alone built.
"""

from __future__ import annotations

import re
from typing import Any

import torch

from fingerprint.errors import IncompatibleModel, InputRefused, UnsafeFile
from fingerprint.text import clean, listed

__all__ = ["STAND_INS", "require_allowed", "safe_globals"]


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
    """Becomes an empty plain dictionary, which may then be filled."""

    def __new__(cls, *args: Any) -> dict[Any, Any]:  # type: ignore[misc]
        """Ignores the arguments."""
        del args
        return {}


_INERT = (
    "argparse.Namespace",
    "builtins.bool", "builtins.dict", "builtins.float", "builtins.int", "builtins.list",
    "builtins.object", "builtins.str", "builtins.tuple",
    "datetime.date", "datetime.datetime", "datetime.timedelta",
    "numpy.bool_", "numpy.float32", "numpy.float64", "numpy.int32", "numpy.int64",
    "numpy.dtype", "numpy.ndarray",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
    "numpy.dtypes.BoolDType", "numpy.dtypes.Float32DType", "numpy.dtypes.Float64DType",
    "numpy.dtypes.Int32DType", "numpy.dtypes.Int64DType",
    "omegaconf.base.ContainerMetadata", "omegaconf.base.Metadata", "omegaconf.base.SCMode",
    "omegaconf.dictconfig.DictConfig", "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode", "omegaconf.nodes.BooleanNode", "omegaconf.nodes.FloatNode",
    "omegaconf.nodes.IntegerNode", "omegaconf.nodes.PathNode", "omegaconf.nodes.StringNode",
    "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePath", "pathlib.PurePosixPath",
    "pathlib.PureWindowsPath", "pathlib.WindowsPath", "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
    "torch.torch_version.TorchVersion",
    "types.SimpleNamespace",
    "typing.Any",
)  # fmt: skip
_DICTIONARIES = (
    "collections.Counter",
    "collections.defaultdict",
    "easydict.EasyDict",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "pytorch_lightning.utilities.parsing.AttributeDict",
)
STAND_INS: dict[str, type] = {
    **dict.fromkeys(_INERT, Inert),
    **dict.fromkeys(_DICTIONARIES, PlainDict),
}
"""What stands in for each foreign name."""

_TORCH_NAMES = (
    "_codecs.encode",
    "builtins.set",
    "collections.OrderedDict",
    "torch.Size",
    "torch.device",
    "torch._utils._rebuild_parameter",
    "torch._utils._rebuild_tensor",
    "torch._utils._rebuild_tensor_v2",
    "torch._utils._rebuild_tensor_v3",
    "torch.storage.UntypedStorage",
)
_STORAGE = re.compile(r"torch\.[A-Za-z0-9]+Storage")
_REFUSED_TENSORS = {
    "torch._utils._rebuild_sparse_tensor": "a sparse tensor",
    "torch._utils._rebuild_sparse_csr_tensor": "a sparse tensor",
    "torch._utils._rebuild_qtensor": "a quantised tensor",
    "torch._utils._rebuild_meta_tensor_no_storage": "a tensor on the meta device, without values",
    "torch._utils._rebuild_wrapper_subclass": "a tensor subclass",
    "torch._tensor._rebuild_from_type_v2": "a tensor subclass",
}
_LAYERS = ("torch.nn.modules.", "torch.nn.parallel.", "torch.fx.")


def safe_globals() -> list[Any]:
    """Returns the stand-ins in the form ``torch.serialization.safe_globals`` takes."""
    return [(stand_in, name) for name, stand_in in STAND_INS.items()]


def require_allowed(names: list[str], path: str) -> None:
    """Checks the names a pickle uses.

    Args:
        names: Every ``module.name`` it imports, first use first.
        path: The file, for messages.

    Raises:
        UnsafeFile: One is not allowed; the message names it.
        IncompatibleModel: One rebuilds a kind of tensor that is no weight.
    """
    refused = [name for name in names if not _allowed(name)]
    if refused:
        raise _refusal(refused, path)


def _allowed(name: str) -> bool:
    if name in STAND_INS or name in _TORCH_NAMES or _STORAGE.fullmatch(name):
        return True
    module, _, leaf = name.rpartition(".")
    return module == "torch" and isinstance(getattr(torch, leaf, None), torch.dtype)


def _refusal(refused: list[str], path: str) -> InputRefused:
    tensors = [name for name in refused if name in _REFUSED_TENSORS]
    others = [name for name in refused if name not in _REFUSED_TENSORS]
    if tensors and all(name.startswith("torch.") for name in others):
        return IncompatibleModel(
            f"{path}: holds {_REFUSED_TENSORS[tensors[0]]} ({tensors[0]}); "
            "expected dense real weights, save the float32 state_dict"
        )
    if any(name.startswith(_LAYERS) for name in others):
        return UnsafeFile(
            f"{path}: a whole pickled module ({clean(others[0])}), which runs code when "
            "loaded; save the state_dict: torch.save(model.state_dict(), path)"
        )
    return UnsafeFile(
        f"{path}: the pickle uses {listed(others)}, which is no plain data and was not loaded; "
        "save the state_dict alone: torch.save(model.state_dict(), path)"
    )
