"""Networks of transformers: read with their configuration where it is installed, else named."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from fingerprint.architectures.recognition import recognise
from fingerprint.errors import IncompatibleModel, InputRefused, UnknownArchitecture, UsageError
from fingerprint.network import load_model

installed = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="transformers is not installed"
)
WEIGHTS = {"vit.embeddings.cls_token": torch.ones(1, 1, 4), "classifier.weight": torch.ones(2, 4)}
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "image_size": 32,
    "patch_size": 8,
}
STAGES = {"depths": [1, 2], "hidden_sizes": [8, 16], "num_channels": 3}
SWIN = {"image_size": 32, "patch_size": 2, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4]}
KINDS: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "deit": VIT,
    "beit": VIT | {"use_relative_position_bias": True},
    "dinov2": VIT | {"mlp_ratio": 2},
    "resnet": STAGES | {"embedding_size": 8, "layer_type": "basic"},
    "convnext": STAGES | {"num_stages": 2, "image_size": 32},
    "swin": SWIN | {"window_size": 4},
    "mobilenet_v2": {"depth_multiplier": 0.25, "image_size": 32},
}
PREPROCESSOR = {
    "image_mean": [0.5, 0.4, 0.3],
    "image_std": [0.2, 0.3, 0.4],
    "size": {"height": 32, "width": 32},
}


def saved(folder: Path, kind: str = "vit", name: str | None = None) -> Any:
    """Lets transformers make and save a classifier of seven classes; returns it."""
    import transformers

    torch.manual_seed(0)
    config = transformers.AutoConfig.for_model(kind, **KINDS[kind], num_labels=7)
    config.architectures = [name] if name else None
    if name:
        network = getattr(transformers, name)(config)
    else:
        classes = transformers.models.auto.modeling_auto
        first = classes.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES[kind]
        network = getattr(transformers, first if isinstance(first, str) else first[0])(config)
    for parameter in network.parameters():
        # Fresh networks of transformers answer nearly the same to everything.
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter)
        else:
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.eval().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPROCESSOR))
    return network


def edited(folder: Path, **entries: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | entries))


def test_without_transformers_the_class_and_the_way_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    config = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    told = r"ViTForImageClassification.*pip install transformers.*--arch package\.module:factory"
    for path in (tmp_path, tmp_path / "model.safetensors"):
        with pytest.raises(UnknownArchitecture, match=told):
            load_model(path)
    monkeypatch.setitem(sys.modules, "transformers.models.auto.modeling_auto", None)
    with pytest.raises(UnknownArchitecture, match="pip install transformers"):
        load_model(tmp_path, arch="transformers:vit")


def test_bare_weights_do_not_say_the_number_of_heads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    with pytest.raises(UnknownArchitecture, match=r"number of heads; give .* config\.json"):
        recognise(WEIGHTS)


@installed
@pytest.mark.parametrize(
    ("kind", "name"),
    [*((kind, None) for kind in KINDS), ("deit", "DeiTForImageClassificationWithTeacher")],
)
def test_a_folder_of_transformers_answers_as_transformers_does(
    kind: str, name: str | None, tmp_path: Path
) -> None:
    network = saved(tmp_path, kind, name)
    model = load_model(tmp_path)
    assert model.architecture.startswith(f"transformers:{type(network).__name__},")
    assert model.pick == "logits"
    assert model.output.classes == 7
    assert model.input.shape == (3, 32, 32)
    assert (model.input.mean, model.input.std) == ((0.5, 0.4, 0.3), (0.2, 0.3, 0.4))
    inputs = torch.rand(4, 3, 32, 32)
    with torch.no_grad():
        expected = network(model.input.normalise(inputs)).logits
        answers = model.module(model.input.normalise(inputs)).logits
    assert expected.std(dim=0).min() > 0
    assert torch.allclose(answers, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


@installed
def test_what_was_recorded_loads_the_weights_alone(tmp_path: Path) -> None:
    saved(tmp_path)
    model = load_model(tmp_path)
    options = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.2,) * 3}
    (tmp_path / "model.safetensors").rename(tmp_path / "kept.safetensors")
    path = tmp_path / "kept.safetensors"
    # A configuration that was changed since says nothing.
    edited(tmp_path, num_attention_heads=8)
    again = load_model(path, arch=model.architecture, **options)
    assert (again.digest, again.architecture) == (model.digest, model.architecture)
    assert again.module.config.num_attention_heads == 4
    for arch in ("transformers:vit", "transformers:ViTForImageClassification", None):
        other = load_model(path, arch=arch)
        assert other.module.config.num_attention_heads == 8
    (tmp_path / "config.json").unlink()
    with pytest.raises(UnknownArchitecture, match=r"number of heads; give the folder"):
        load_model(path, arch="transformers:vit")


@installed
def test_names_of_modules_and_prefixes_are_read_and_change_no_digest(tmp_path: Path) -> None:
    network = saved(tmp_path)
    digest = load_model(tmp_path).digest
    for state in (network.state_dict(), load_file(tmp_path / "model.safetensors")):
        for prefix in ("", "model."):
            named = {prefix + name: tensor.contiguous() for name, tensor in state.items()}
            save_file(named, tmp_path / "model.safetensors")
            assert load_model(tmp_path).digest == digest


@installed
def test_shards_that_transformers_saved_are_the_same_network(tmp_path: Path) -> None:
    network = saved(tmp_path / "one")
    network.save_pretrained(tmp_path / "several", max_shard_size="20KB")
    assert len(list((tmp_path / "several").glob("*.safetensors"))) > 1
    one, several = load_model(tmp_path / "one"), load_model(tmp_path / "several")
    assert (one.digest, one.architecture) == (several.digest, several.architecture)
    assert several.pick == "logits"


@installed
@pytest.mark.slow
def test_a_registry_loads_its_model_again_unasked(tmp_path: Path) -> None:
    from registry import Registry

    saved(tmp_path)
    model = load_model(tmp_path)
    digest = model.digest
    with Registry(tmp_path / "registry.db") as registry:
        registry.register(model, name="ours", probes=32)
        assert registry.verify(load_model(tmp_path)).verdict == "same"
        with torch.no_grad():
            model.module.classifier.bias += 1
        changed = dataclasses.replace(model, digest="0" * 64)
        (peer,) = registry.plan(changed, name="theirs").screen
        assert peer.load().digest == digest


@installed
@pytest.mark.parametrize(
    "entries",
    [
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 60000},
        {"hidden_size": 60000},
        {"hidden_size": 10**400},
        {"intermediate_size": -1},
        {"image_size": 65536, "patch_size": 1},
        {"num_attention_heads": 0},
        {"layer_norm_eps": float("nan")},
        {"hidden_act": "os.system"},
        {"hidden_size": "x" * 1000},
        {"hidden_size": [[[[1]]]]},
        {"id2label": {str(label): "a" for label in range(50000)}},
        {"model_type": "timm_wrapper", "architecture": None},
        {"model_type": "../../evil"},
    ],
    ids=lambda entries: json.dumps(entries)[:50],
)
def test_a_hostile_configuration_is_refused_at_once(
    tmp_path: Path, entries: dict[str, Any]
) -> None:
    saved(tmp_path)
    edited(tmp_path, **entries)
    begun = time.monotonic()
    with pytest.raises(InputRefused):
        load_model(tmp_path)
    assert time.monotonic() - begun < 30


@installed
def test_long_lists_of_depths_are_refused_at_once(tmp_path: Path) -> None:
    saved(tmp_path, "swin")
    for depths in ([2**15, 2**15], [65536] * 32, [65536] * 10**4):
        edited(tmp_path, depths=depths)
        with pytest.raises(IncompatibleModel):
            load_model(tmp_path)


@installed
def test_a_configuration_names_no_code_and_no_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(tmp_path)
    plain = load_model(tmp_path)
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    (tmp_path / "evil.py").write_text("raise SystemExit")
    edited(
        tmp_path,
        auto_map={"AutoModelForImageClassification": "evil.Net", "AutoConfig": "evil.Config"},
        attn_implementation="kernels-community/evil",
        _attn_implementation_internal="kernels-community/evil",
        quantization_config={"quant_method": "evil"},
        dtype="float16",
        trust_remote_code=True,
        _name_or_path="evil/model",
    )
    model = load_model(tmp_path)
    assert (model.digest, model.architecture) == (plain.digest, plain.architecture)
    with pytest.raises(UsageError, match="no option 'attn_implementation'"):
        load_model(tmp_path, arch="transformers:vit,attn_implementation=evil")
    with pytest.raises(UsageError, match="no image classifier 'BertModel'"):
        load_model(tmp_path, arch="transformers:BertModel")
