"""What a model is called when nobody says: by its file, or by the folder of a file called model.

default_name("resnet20.pt")                                        # resnet20
default_name("hub/resnet20/pytorch_model.bin")                     # resnet20
default_name("models--timm--resnet18.a1_in1k/snapshots/f7.../model.safetensors")
"""

from __future__ import annotations

import re
from pathlib import PurePath

__all__ = ["default_name"]

_ANY_MODEL = re.compile(
    r"(pytorch_|tf_|flax_|open_clip_|diffusion_|best_|final_|last_|adapter_)*"
    r"(models?|weights?|checkpoints?|ckpt|state_dict|best|last|final|latest|consolidated|"
    r"epoch[-_=]?\d+|step[-_=]?\d+|ema)"
    r"([-_.=]?(best|last|final|latest|ema|fp16|fp32|weights?|state|state_dict|epoch|step|v?\d+|of))*",
    re.IGNORECASE,
)
_ANY_FOLDER = re.compile(
    r"snapshots|blobs|refs|main|master|files|weights?|checkpoints?|ckpts?|models?|runs?|outputs?|"
    r"version_\d+|lightning_logs|data|artifacts|mlruns|\d+|epoch[-_=]?\d+|checkpoint-\d+",
    re.IGNORECASE,
)
_DIGEST = re.compile(r"(m-)?[0-9a-f]{16,64}", re.IGNORECASE)
_REPOSITORY = "models--"


def default_name(path: str) -> str:
    """Returns the file's name without its suffix, or that of the first telling folder above it.

    Model hubs call every file ``model`` or ``pytorch_model``, and keep it in folders called
    after a digest; what tells it apart is the repository's name.
    """
    file = PurePath(path)
    stem = re.sub(r"\.(pth|pt|bin|ckpt|safetensors(\.index)?)$", "", file.stem)
    if not _ANY_MODEL.fullmatch(stem) and not _DIGEST.fullmatch(stem):
        return stem
    for folder in reversed(file.parent.parts):
        if folder.startswith(_REPOSITORY):
            return folder.rpartition("--")[2] or folder
        telling = not (_ANY_FOLDER.fullmatch(folder) or _DIGEST.fullmatch(folder))
        if telling and folder.strip("/\\.") and not folder.endswith(":\\"):
            return folder
    return stem
