from __future__ import annotations

import pytest

from fingerprint.formats.default_name import default_name

HASH = "f7a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/a/resnet20.pt", "resnet20"),
        ("/a/resnet18.a1_in1k.safetensors", "resnet18.a1_in1k"),
        ("/hub/resnet20/model.safetensors", "resnet20"),
        ("/hub/resnet20/pytorch_model.bin", "resnet20"),
        ("/hub/resnet20/model_best.pth.tar", "resnet20"),
        ("/hub/resnet20/model_best.pth", "resnet20"),
        ("/hub/vit/checkpoints/last.ckpt", "vit"),
        ("/hub/vit/lightning_logs/version_3/checkpoints/epoch=9-step=100.ckpt", "vit"),
        ("/hub/vit/checkpoint-500/pytorch_model.bin", "vit"),
        (f"/c/hub/models--timm--resnet18.a1/snapshots/{HASH}/model.safetensors", "resnet18.a1"),
        (f"/c/hub/models--timm--resnet18.a1/blobs/{HASH}", "resnet18.a1"),
        ("/c/models--gpt2/snapshots/main/model.safetensors", "gpt2"),
        ("/c/models--gpt2/snapshots/main/model.safetensors.index.json", "gpt2"),
        ("/hub/vit/model.safetensors.index.json", "vit"),
        (f"/ours/mlruns/4/models/m-{HASH[:32]}/artifacts/data/model.pth", "ours"),
        (f"/ours/mlruns/4/{HASH[:32]}/artifacts/cats/model/model.safetensors", "cats"),
        ("/model.pt", "model"),
        ("model.pt", "model"),
        ("/data/modelnet.pt", "modelnet"),
        ("/data/best_cat.pt", "best_cat"),
    ],
)
def test_a_model_is_called_by_its_file_or_by_what_tells_the_file_apart(
    path: str, name: str
) -> None:
    assert default_name(path) == name
