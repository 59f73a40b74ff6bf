"""The Open Inference Protocol: what is sent is the input, what is read is the answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fingerprint.errors import (
    EnvironmentFailure,
    IncompatibleModel,
    InputRefused,
    UsageError,
)
from fingerprint.suspects.endpoints.address import parse_address
from fingerprint.suspects.endpoints.oip import OpenInference
from fingerprint.suspects.endpoints.transport import NoAnswer, Reply
from tests.support.endpoints import SHAPE, close, connected, network, pixels
from tests.support.servers import Said, Seen, Server, oip_server

MODEL = "/v2/models/ours"


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("suffix", ["", "/", "/infer"])
def test_answers_are_the_networks_very_own(binary: bool, suffix: str) -> None:
    with oip_server(network, SHAPE, binary=binary) as server:
        endpoint = connected(server.url + MODEL + suffix, "oip")
        rows = endpoint.answer(pixels(11))
    close(rows, network(np.float32(pixels(11)) / np.float32(255)))
    assert (endpoint.queries, endpoint.failure, endpoint.output.classes) == (11, "", 5)


def test_each_request_has_an_id_which_some_servers_need() -> None:
    with oip_server(network, SHAPE) as server:
        connected(server.url + MODEL, "oip").answer(pixels(11))
    ids = [seen.json["id"] for seen in server.seen if seen.body]
    assert len(set(ids)) == len(ids) == 3


@pytest.mark.parametrize("binary", [False, True])
def test_a_model_of_bytes_is_sent_pixels_as_they_are(binary: bool) -> None:
    with oip_server(network, SHAPE, binary=binary, datatype="UINT8") as server:
        endpoint = connected(server.url + MODEL, "oip")
        close(endpoint.answer(pixels()), network(pixels()))
    assert endpoint.form.dtype == "uint8"
    assert endpoint.warnings == ()


@pytest.mark.parametrize(
    ("shape", "sent"),
    [
        ((3, 4, 4), (3, 4, 4)),
        ((4, 4, 3), (4, 4, 3)),
        ((-1, -1, 3), (4, 4, 3)),
        ((48,), (48,)),
        ((-1, -1, -1), (3, 4, 4)),
    ],
)
def test_the_shape_in_its_metadata_is_what_is_sent(
    shape: tuple[int, ...], sent: tuple[int, ...]
) -> None:
    with oip_server(network, shape) as server:
        connected(server.url + MODEL, "oip", input_size=SHAPE).answer(pixels(2))
    (tensor,) = server.seen[-1].json["inputs"]
    assert tuple(tensor["shape"]) == (2, *sent)


def test_a_shape_that_nobody_states_is_that_of_the_metadata() -> None:
    with oip_server(lambda values: network(values[:, :3, :4, :4]), (3, 6, 5)) as server:
        assert connected(server.url + MODEL, "oip", known=None).input.shape == (3, 6, 5)
    with oip_server(lambda values: network(values[:, :4, :4, :3]), (6, 5, 3)) as server:
        assert connected(server.url + MODEL, "oip", known=None).input.shape == (3, 6, 5)


def test_another_shape_than_the_metadatas_is_refused() -> None:
    with oip_server(network, SHAPE) as server, pytest.raises(IncompatibleModel, match="3x4x4"):
        connected(server.url + MODEL, "oip", input_size=(3, 5, 5))
    with oip_server(network, (-1, -1, -1)) as server, pytest.raises(UsageError, match="input-size"):
        connected(server.url + MODEL, "oip", known=None)


def described(*inputs: dict[str, Any], infer: Said | None = None) -> Server:
    """Says something of its inputs, and answers with zeros and ones."""

    def answer(seen: Seen) -> Said:
        if seen.method == "GET":
            return Said(json={"inputs": list(inputs)})
        count = seen.json["inputs"][0]["shape"][0]
        data = [float(place) for place in range(5)] * count
        output = {"name": "y", "datatype": "FP32", "shape": [count, 5], "data": data}
        return infer or Said(json={"outputs": [output]})

    return Server(answer)


def tensor(*shape: int, name: str = "x", datatype: str = "FP32") -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def test_a_model_of_one_input_at_a_time_is_asked_one_at_a_time() -> None:
    with described(tensor(1, *SHAPE)) as server:
        connected(server.url + MODEL, "oip").answer(pixels(3))
    sent = [seen.json["inputs"][0]["shape"][0] for seen in server.seen if seen.method == "POST"]
    assert sent == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([tensor(-1, 2), tensor(-1, 3)], "one input"),
        ([tensor(-1, *SHAPE, datatype="BYTES")], "FP32"),
        ([tensor(-1, *SHAPE, datatype="\x1b[31m")], "FP32"),
        ([tensor(4, *SHAPE)], "exactly 4"),
    ],
)
def test_a_model_that_takes_what_cannot_be_asked_is_refused(
    inputs: list[dict[str, Any]], said: str
) -> None:
    with described(*inputs) as server, pytest.raises(InputRefused, match=said) as refused:
        connected(server.url + MODEL, "oip")
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize("said", [Said(status=404), Said(status=405), Said(json={"inputs": []})])
def test_a_server_without_metadata_is_asked_all_the_same(said: Said) -> None:
    def answer(seen: Seen) -> Said:
        if seen.method == "GET":
            return said
        (given,) = seen.json["inputs"]
        rows = network(np.array(given["data"]).reshape(given["shape"]))
        output = {"name": "y", "datatype": "FP32", "shape": list(rows.shape)}
        return Said(json={"outputs": [{**output, "data": rows.tolist()}]})

    with Server(answer) as server:
        rows = connected(server.url + MODEL, "oip").answer(pixels(2))
    assert rows.shape == (2, 5)
    assert server.seen[-1].json["inputs"][0]["name"] == "input-0"


@pytest.mark.parametrize("status", [401, 403])
def test_a_shut_door_is_said_at_once(status: int) -> None:
    with (
        Server(lambda seen: Said(status=status)) as server,
        pytest.raises(EnvironmentFailure, match=f"HTTP {status}"),
    ):
        connected(server.url + MODEL, "oip")


@pytest.mark.parametrize(
    "metadata",
    [
        *(b"", b"[]", b"<html>", b'{"inputs": 5}', b'{"inputs": [{}]}', b'{"inputs": [5]}'),
        *(
            json.dumps({"inputs": [tensor(*shape)]}).encode()
            for shape in ((), (-1, 0), (-1, 10**400), (-1, -7), (1,) * 9)
        ),
    ],
)
def test_metadata_that_is_none_is_an_environment_failure(metadata: bytes) -> None:
    with (
        Server(lambda seen: Said(body=metadata)) as server,
        pytest.raises(EnvironmentFailure, match=r"metadata|JSON"),
    ):
        connected(server.url + MODEL, "oip")


@pytest.mark.parametrize("path", ["/", "/v1/models/ours", "/v2/models"])
def test_an_address_of_another_protocol_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="/v2/models/NAME"):
        OpenInference(parse_address(f"https://host{path}"))


def outputs(*given: dict[str, Any], tail: bytes = b"") -> Reply:
    head = json.dumps({"outputs": list(given)}).encode()
    headers = {"inference-header-content-length": str(len(head))} if tail else {}
    return Reply(headers=headers, body=head + tail)


def output(name: str, values: list[float], **changes: Any) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": [2, 2], "data": values, **changes}


ADAPTER = OpenInference(parse_address("https://host/v2/models/a"))


def test_of_several_outputs_the_one_that_is_named_or_that_is_called_logits_is_read() -> None:
    reply = outputs(output("features", [9] * 4), output("logits", [1, 2, 3, 4]))
    assert np.stack([*ADAPTER.decode(reply, 2)]).tolist() == [[1, 2], [3, 4]]
    for chosen in ("features", 0):
        adapter = OpenInference(parse_address("https://host/v2/models/a"), output=chosen)
        assert np.stack([*adapter.decode(reply, 2)]).tolist() == [[9, 9], [9, 9]]
    for wrong in ("others", 7, -1):
        adapter = OpenInference(parse_address("https://host/v2/models/a"), output=wrong)
        with pytest.raises(NoAnswer, match="output"):
            adapter.decode(reply, 2)
    with pytest.raises(NoAnswer, match="--output"):
        ADAPTER.decode(outputs(output("a", [1] * 4), output("b", [1] * 4)), 2)


def test_binary_outputs_are_taken_in_their_order_and_of_their_type() -> None:
    first = {"name": "a", "datatype": "INT64", "parameters": {"binary_data_size": 16}}
    second = output("scores", [], datatype="FP16", parameters={"binary_data_size": 8})
    del second["data"]
    raw = b"\0" * 16 + np.array([1, 2, 3, 4], "<f2").tobytes()
    found = ADAPTER.decode(outputs({**first, "shape": [2]}, second, tail=raw), 2)
    assert np.stack([*found]).tolist() == [[1, 2], [3, 4]]
    with pytest.raises(NoAnswer):
        ADAPTER.decode(outputs({**first, "shape": [2]}, second, tail=raw[:-1]), 2)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html>",
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [1, 2, 3',
        b'{"error": "no"}',
        b"[" * 100_000,
        b'{"outputs": []}',
        b'{"outputs": {"a": 1}}',
        b'{"outputs": 7}',
        json.dumps({"outputs": [output("y", [1.0, 2.0, 3.0])]}).encode(),
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], shape=[4])]}).encode(),
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], shape=[4, 1])]}).encode(),
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], shape=[-2, 2])]}).encode(),
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], shape=[2**70, 2])]}).encode(),
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], shape="2,2")]}).encode(),
        json.dumps({"outputs": [output("y", ["1", "2", "3", "4"])]}).encode(),  # type: ignore[list-item]
        json.dumps({"outputs": [output("y", [[1], 2, 3, 4])]}).encode(),  # type: ignore[list-item]
        json.dumps({"outputs": [output("y", [1, 2, 3, 4], datatype="BYTES")]}).encode(),
        json.dumps({"outputs": [output("y", [True] * 4)]}).encode(),
        json.dumps({"outputs": [output("y", [float("nan")] * 4)]}).encode(),
        json.dumps({"outputs": [{**output("y", []), "data": None}]}).encode(),
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [2, 2], "data": ['
        + b"9" * 5000
        + b", 1, 1, 1]}]}",
    ],
)
def test_what_is_no_answer_is_none(body: bytes) -> None:
    with pytest.raises(NoAnswer):
        ADAPTER.decode(Reply(headers={}, body=body), 2)


def test_numbers_that_json_does_not_have_are_called_so() -> None:
    body = json.dumps({"outputs": [output("y", [1.0, 2.0, float("inf"), 4.0])]}).encode()
    with pytest.raises(NoAnswer, match="expected finite numbers, got NaN or infinity"):
        ADAPTER.decode(Reply(headers={}, body=body), 2)


@pytest.mark.parametrize("length", ["-1", "x", "999999", ""])
def test_a_header_that_lies_about_lengths_is_no_answer(length: str) -> None:
    reply = Reply(headers={"inference-header-content-length": length}, body=b'{"outputs": [')
    with pytest.raises(NoAnswer):
        ADAPTER.decode(reply, 2)
