"""A copy behind something that changes pictures is no stranger, and what changes them is named."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fingerprint import Verification, extract, load_model, verify
from fingerprint.channel import channel_count, channel_questions
from fingerprint.network.model import Model
from fingerprint.network.run import run
from fingerprint.network.spec import InputSpec, OutputSpec
from fingerprint.probes.probe import Fingerprint
from fingerprint.questions import joined, questions_for
from fingerprint.suspects import Narrowed, Recorded
from fingerprint.suspects.base import Suspect
from tests.support.digits import network
from tests.support.endpoints import connected
from tests.support.servers import Said, Seen, Server

Change = Callable[[Image.Image], Image.Image]


@cache
def model(seed: int = 0) -> Model:
    return load_model(network("cnn", seed), input_size=(1, 16, 16), mean=(0.5,), std=(0.5,))


@cache
def fingerprint() -> Fingerprint:
    return extract(model(), seed="channel", probes=24)


@cache
def stranger() -> Model:
    """Of networks of other seeds the one most unlike ours: kernels decide which that is."""

    def ratio(one: Model) -> float:
        return verify(one, fingerprint()).candidates[0].harm_ratio or 0.0

    return max((model(seed) for seed in range(1, 5)), key=ratio)


class Behind(Suspect):
    """A model that somebody shows changed pictures, and of whom nothing else is known."""

    doubt = "so would it behind a lens"
    feeding_doubt = ""
    beyond = True

    def __init__(self, asked: Model, change: Change) -> None:
        super().__init__(asked.input, asked.output)
        self.model, self.change = asked, change

    def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
        shown = [np.asarray(self.change(Image.fromarray(one[0])))[None] for one in inputs]
        return run(self.model, np.stack(shown))


def as_sent(picture: Image.Image) -> Image.Image:
    return picture


def jpeg(picture: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=50)
    return Image.open(stream)


def cropped(picture: Image.Image) -> Image.Image:
    return picture.crop((1, 1, 15, 15)).resize((16, 16), Image.Resampling.BILINEAR)


def halved(picture: Image.Image) -> Image.Image:
    half = picture.resize((8, 8), Image.Resampling.BOX)
    return half.resize((16, 16), Image.Resampling.BILINEAR)


def asked(suspect: Model, change: Change, **known: Any) -> Verification:
    return verify(Behind(suspect, change), {"ours": replace(fingerprint(), **known)})


@pytest.mark.parametrize(
    ("change", "lost", "word"),
    [(jpeg, "faint", "JPEG"), (cropped, "border", "cropping"), (halved, "fine", "resizing")],
)
@pytest.mark.parametrize("who", [model, stranger], ids=["copy", "stranger"])
def test_what_is_lost_is_named_and_nobody_is_independent(
    who: Callable[[], Model], change: Change, lost: str, word: str
) -> None:
    result = asked(who(), change)
    assert result.verdict == "inconclusive"
    assert "the probes do not survive what happens before the model" in result.reason
    assert word in result.reason
    assert result.channel is not None
    assert lost in result.channel.lost
    assert Verification.from_dict(result.to_dict()).channel == result.channel


def test_of_a_suspect_that_matches_nothing_more_is_asked() -> None:
    copy = asked(model(), as_sent)
    assert copy.verdict == "same"
    assert copy.channel is None


def test_a_stranger_that_is_shown_what_it_is_sent_is_independent() -> None:
    result = asked(stranger(), as_sent)
    assert result.channel is not None
    assert set(result.channel.kept) == {"faint", "border", "fine"}
    assert result.channel.fine["ours"] > 0.5
    assert result.verdict == "independent"
    assert result.queries == verify(stranger(), fingerprint()).queries + channel_count(
        model().input
    )


def test_without_the_models_own_answers_to_twins_the_doubt_remains() -> None:
    result = asked(stranger(), as_sent, twin_answers=np.empty((0, 0), np.float32))
    assert result.verdict == "inconclusive"
    assert "behind a lens" in result.reason
    assert "fp register --again ours" in result.reason


def test_a_suspect_that_reacts_less_to_detail_may_be_shown_less_of_it() -> None:
    known = fingerprint().twin_answers.astype(np.float64)
    plain, *twins = np.split(known, 4)
    strong = [*twins[:2], plain + 1e3 * (twins[2] - plain)]
    more = np.concatenate([plain, *strong]).astype(np.float32)
    result = asked(stranger(), as_sent, twin_answers=more)
    assert result.verdict == "inconclusive"
    assert "another network, or is shown resized pictures" in result.reason


def test_a_model_that_the_faintest_detail_moves_as_far_shows_no_weakening() -> None:
    plain, faint, border, fine = np.split(fingerprint().twin_answers, 4)
    del faint
    result = asked(stranger(), as_sent, twin_answers=np.concatenate([plain, fine, border, fine]))
    assert result.verdict == "inconclusive"
    assert result.channel is not None
    assert result.channel.blunt == ("ours",)
    assert "the faintest detail moves ours as far as any" in result.reason


def test_coarse_answers_tell_nothing_of_the_way() -> None:
    narrowed = Narrowed(Behind(stranger(), jpeg), "probabilities", decimals=1)
    result = verify(narrowed, {"ours": fingerprint()})
    assert result.verdict == "inconclusive"
    assert result.channel is not None
    assert result.channel.lost == ()
    labels = verify(Narrowed(Behind(stranger(), jpeg), "labels"), {"ours": fingerprint()})
    assert labels.channel is None


def test_a_suspect_that_answers_all_alike_has_not_lost_anything() -> None:
    class Constant(Behind):
        def respond(self, inputs: NDArray[Any]) -> NDArray[np.float32]:
            return np.ones((len(inputs), self.output.classes), np.float32)

    result = verify(Constant(stranger(), as_sent), {"ours": fingerprint()})
    assert result.verdict == "inconclusive"
    assert result.channel is None or not result.channel.lost


def test_inputs_that_are_no_pictures_have_no_such_questions() -> None:
    spec = InputSpec(shape=(12,))
    none = np.empty((0, 0), np.float32)
    flat = replace(
        fingerprint(), input=spec, output=OutputSpec(classes=3, kind="logits"), twin_answers=none
    )
    assert channel_questions({"ours": flat}) is None
    assert channel_count(spec) == 0


def test_what_was_answered_by_hand_shows_how_pictures_were_shown() -> None:
    questions = questions_for({"ours": fingerprint()})
    further = channel_questions({"ours": fingerprint()})
    assert further is not None
    both = joined(questions, further)
    assert len(set(both.ids)) == len(both.ids) == len(questions.ids) + len(further.ids)
    verdicts = {}
    for change in (as_sent, jpeg):
        rows = Behind(stranger(), change).answer(both.inputs)
        answers = {asked: np.stack([row, row]) for asked, row in zip(both.ids, rows, strict=True)}
        by_hand = Recorded(model().input, model().output, answers)
        verdicts[change] = verify(by_hand, {"ours": fingerprint()})
    assert verdicts[as_sent].verdict == "independent"
    assert verdicts[jpeg].verdict == "inconclusive"
    assert "JPEG" in verdicts[jpeg].reason


@pytest.mark.parametrize(
    ("who", "sent", "between", "verdict", "word"),
    [
        (model, "png", as_sent, "same", ""),
        (model, "png", cropped, "inconclusive", "cropping"),
        (stranger, "jpeg", as_sent, "inconclusive", "JPEG"),
        (stranger, "png", as_sent, "independent", ""),
        (stranger, "png", cropped, "inconclusive", "cropping"),
        (stranger, "tensor", as_sent, "inconclusive", "--as-sent"),
    ],
)
def test_a_service_is_judged_by_what_reaches_its_model(
    tmp_path: Path, who: Callable[[], Model], sent: str, between: Change, verdict: str, word: str
) -> None:
    """A tensor that reaches it whole may still be scaled as no model wants it."""

    def answer(seen: Seen) -> Said:
        if sent == "tensor":
            values = np.frombuffer(seen.body, "<f4").reshape(16, 16)
            picture = Image.fromarray(np.round(values * 255).astype(np.uint8))
        else:
            picture = Image.open(io.BytesIO(seen.body))
        rows = Behind(who(), between).respond(np.asarray(picture)[None, None])
        return Said(json={"scores": rows[0].tolist()})

    template = tmp_path / "endpoint.toml"
    template.write_text(f'[body]\nraw = "{sent}"\n[answer]\nscores = "$.scores"\n')
    with Server(answer) as server:
        known = InputSpec(shape=(1, 16, 16))
        endpoint = connected(server.url, f"generic:{template}", known=known)
        result = verify(endpoint, {"ours": fingerprint()})
    assert result.verdict == verdict
    assert word in result.reason
