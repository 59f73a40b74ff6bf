"""An endpoint is a suspect: its silence is no evidence, and a journal goes on where it ended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fingerprint.answers import ask
from fingerprint.errors import EnvironmentFailure, InputRefused
from fingerprint.network.spec import InputSpec
from fingerprint.questions import questions_for
from fingerprint.suspects import Journal, Narrowed
from fingerprint.suspects.endpoints import Endpoint, encoded
from fingerprint.verdict import judge
from tests.support.endpoints import close, connected, network, pixels
from tests.support.fingerprints import make_fingerprint, make_model
from tests.support.servers import Said, Seen, Server, predict_server

FINGERPRINT = make_fingerprint(make_model(1), probes=12)
QUESTIONS = questions_for({"one": FINGERPRINT})
TOTAL = len(QUESTIONS.ids) + 1
PREDICT = "/v1/models/ours"
Spoil = Callable[[int, Seen, list[list[float]]], Said | None]


def spoilt(spoil: Spoil) -> Server:
    """Answers rightly, but for the calls that are spoilt; metadata are none of them."""
    calls = 0

    def answer(seen: Seen) -> Said:
        nonlocal calls
        if seen.method != "POST":
            return Said(status=404)
        calls += 1
        rows = network(np.array(seen.json["instances"])).tolist()
        return spoil(calls, seen, rows) or Said(json={"predictions": rows})

    return Server(answer)


def at(server: Server, **options: Any) -> Endpoint:
    limits = {"concurrency": 1, **options.pop("limits", {})}
    return connected(server.url + PREDICT, "kserve-v1", limits=limits, **options)


def test_a_verification_asks_each_question_and_one_input_more() -> None:
    with predict_server(network) as server:
        endpoint = at(server)
        answers = ask(endpoint, QUESTIONS)
    assert (answers.queries, answers.failure, len(answers.values)) == (TOTAL, "", TOTAL - 1)
    assert sum(len(seen.json["instances"]) for seen in server.seen if seen.body) == TOTAL + 1
    assert answers.repeatable(1e-6)
    assert endpoint.unanswered == 0


def test_the_doubt_goes_through_whatever_is_around_an_endpoint() -> None:
    with predict_server(network) as server:
        doubted, stated = at(server), at(server, as_sent=True)
    for one in (doubted, Journal(doubted), Narrowed(doubted, "probabilities")):
        assert "--as-sent" in one.doubt
    assert [one.doubt for one in (stated, Journal(stated))] == ["", ""]


def test_questions_are_asked_in_any_order_through_a_journal_too(tmp_path: Path) -> None:
    def order(server: Server) -> list[str]:
        asked = [one for seen in server.seen if seen.body for one in seen.json["instances"]]
        return [json.dumps(one) for one in asked[1:TOTAL]]

    orders = []
    for path in (None, tmp_path / "journal"):
        with predict_server(network) as server:
            answers = ask(Journal(at(server), path, retries=0), QUESTIONS)
        orders.append(order(server))
        assert len(answers.values) == TOTAL - 1
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


GARBAGE = {
    "a page": Said(headers={"Content-Type": "text/html"}, body=b"<html>sign in</html>"),
    "half": Said(body=b'{"predictions": [[1, 2, 3'),
    "nan": Said(body=b'{"predictions": [[NaN, 1, 1, 1, 1]]}'),
    "infinity": Said(body=b'{"predictions": [[1e999, 1, 1, 1, 1]]}'),
    "other classes": Said(json={"predictions": [[1, 2]]}),
    "names": Said(json={"predictions": [{"\x1b[31mred": 1.0}]}),
    "too many": Said(json={"predictions": [[1, 2, 3, 4, 5]] * 9}),
    "nothing": Said(body=b""),
    "an error": Said(json={"error": "out of quota"}),
    "deep": Said(body=b"[" * 200_000),
    "refused": Said(status=422, json={"error": "looks like a probe"}),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_is_no_answer_and_never_a_difference(kind: str) -> None:
    with spoilt(lambda call, seen, rows: GARBAGE[kind] if call == 2 else None) as server:
        endpoint = at(server, limits={"tries": 1})
        rows = endpoint.answer(pixels(24))
    there = np.isfinite(rows).all(axis=1)
    assert there.tolist() == [False] * 8 + [True] * 16
    close(rows[8:], network(pixels(24)[8:] / 255))
    assert (endpoint.answered, endpoint.unanswered, endpoint.failure) == (16, 8, "")


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_alone_is_a_failure_that_is_said_in_our_words(kind: str) -> None:
    with spoilt(lambda call, seen, rows: GARBAGE[kind] if call > 1 else None) as server:
        answers = ask(at(server, limits={"tries": 1}), QUESTIONS)
    assert answers.values == {}
    assert "3 requests in a row" in answers.failure
    assert not {"\x1b", "quota", "sign in", "looks like"} & set(answers.failure.split())
    assert "\x1b" not in answers.failure
    verification = judge({"one": FINGERPRINT}, answers)
    assert verification.verdict == "inconclusive"


@pytest.mark.parametrize(
    "kind", [kind for kind in GARBAGE if kind not in ("other classes", "names")]
)
def test_an_endpoint_that_never_answers_is_an_environment_failure(kind: str) -> None:
    with (
        spoilt(lambda call, seen, rows: GARBAGE[kind]) as server,
        pytest.raises(EnvironmentFailure) as failed,
    ):
        at(server)
    assert str(failed.value).startswith(f"{server.url}{PREDICT}: ")
    assert "\n" not in str(failed.value)


def test_an_endpoint_that_dies_on_the_way_leaves_what_it_said() -> None:
    with spoilt(lambda call, seen, rows: Said(status=503) if call > 3 else None) as server:
        answers = ask(at(server), QUESTIONS)
    assert len(answers.values) == 16
    assert "503" in answers.failure
    assert judge({"one": FINGERPRINT}, answers).verdict == "inconclusive"


def test_a_journal_is_of_one_address(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with predict_server(network) as server:
        ask(Journal(at(server), path, retries=0), QUESTIONS)
    with predict_server(network) as other, pytest.raises(InputRefused, match="of this suspect"):
        ask(Journal(at(other), path, retries=0), QUESTIONS)


@pytest.mark.parametrize("status", [401, 429, 503])
def test_an_interrupted_run_is_gone_on_with(status: int, tmp_path: Path) -> None:
    path, down = tmp_path / "journal", [True]
    away = Said(status=status, headers={"Retry-After": "100000"})

    def spoil(call: int, seen: Seen, rows: list[list[float]]) -> Said | None:
        return away if down[0] and call > 3 else None

    with spoilt(spoil) as server:
        first = ask(Journal(at(server), path, retries=0), QUESTIONS)
        down[0] = False
        second_endpoint = at(server, limits={"concurrency": 7})
        second = ask(Journal(second_endpoint, path, retries=0), QUESTIONS)
    assert (len(first.values), first.failure != "") == (16, True)
    assert (second_endpoint.queries, second.failure) == (TOTAL - 16, "")
    assert second.values.keys() == set(QUESTIONS.ids)


@pytest.mark.parametrize("most", [1, 2, 9, 10, 20])
def test_the_budget_holds_to_the_input(most: int) -> None:
    with predict_server(network) as server:
        endpoint = at(server, limits={"max_queries": most, "concurrency": 3})
        answers = ask(endpoint, QUESTIONS)
    assert sum(len(seen.json["instances"]) for seen in server.seen if seen.body) == most
    assert len(answers.values) == most - 1
    assert f"budget of {most} queries" in answers.failure
    assert endpoint.unanswered == 0


def test_requests_stay_below_the_size_a_protocol_takes() -> None:
    with predict_server(network) as server:
        endpoint = at(server)
    adapter = endpoint.adapter
    whole = encoded(adapter, endpoint.form, pixels(8))
    adapter.max_body = len(whole[0].body) // 3  # type: ignore[misc]
    calls = encoded(adapter, endpoint.form, pixels(8))
    assert [call.inputs for call in calls] == [2, 2, 2, 2]
    adapter.max_body = 100  # type: ignore[misc]
    with pytest.raises(InputRefused, match="at most 100 bytes"):
        encoded(adapter, endpoint.form, pixels(1))


def test_the_token_is_in_no_fact_journal_or_message(tmp_path: Path) -> None:
    token = "s3cr3t"
    with spoilt(
        lambda call, seen, rows: Said(status=500, json={"error": token}) if call > 2 else None
    ) as server:
        endpoint = at(server)
        endpoint.transport._secrets["Authorization"] = f"Bearer {token}"
        answers = ask(Journal(endpoint, tmp_path / "journal", retries=0), QUESTIONS)
    assert server.seen[-1].headers["authorization"] == f"Bearer {token}"
    told = [answers.failure, repr(endpoint), json.dumps(endpoint.facts())]
    told += [(tmp_path / "journal").read_text(), json.dumps(endpoint.identity.to_dict())]
    assert not [text for text in told if token in text]


def test_an_endpoint_that_answers_differently_each_time_does_not_repeat() -> None:
    def fickle(call: int, seen: Seen, rows: list[list[float]]) -> Said:
        drift = [[value + call * place for place, value in enumerate(row)] for row in rows]
        return Said(json={"predictions": drift})

    with spoilt(fickle) as server:
        assert not ask(at(server), QUESTIONS).repeatable(1e-3)


def test_inputs_that_are_no_pictures_go_in_their_bounds() -> None:
    known = InputSpec(shape=(48,), kind="float", bounds=(-3.0, 3.0))
    with predict_server(network) as server:
        endpoint = at(server, known=known)
        values = np.linspace(-3, 3, 96, dtype=np.float32).reshape(2, 48)
        close(endpoint.answer(values), network(values))
    assert endpoint.input.domain == known.domain
