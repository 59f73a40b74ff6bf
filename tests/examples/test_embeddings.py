"""The example recognises a transformer by its embeddings, and does not claim another one."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLE = Path(__file__).parents[2] / "examples" / "embeddings.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("embeddings_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(folder: Path, seed: int) -> Path:
    """Saves a small transformer with weights large enough to tell inputs apart."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(seed)
    config = transformers.BertConfig(
        vocab_size=40,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=8,
        num_labels=4,
        initializer_range=0.3,
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder / str(seed))
    return folder / str(seed)


@pytest.mark.slow
def test_a_copy_is_ours_and_a_stranger_is_not(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, other = saved(tmp_path, 0), saved(tmp_path, 1)
    assert example.main([str(ours), str(ours), "--tokens", "8"]) == 1
    assert capsys.readouterr().out.startswith("same: ")
    assert example.main([str(ours), str(other), "--tokens", "8"]) == 0
    assert capsys.readouterr().out.startswith(("independent: ", "inconclusive: "))
