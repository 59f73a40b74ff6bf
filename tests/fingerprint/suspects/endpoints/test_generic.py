"""One TOML file makes any endpoint answer, and says nothing that the environment keeps."""

from __future__ import annotations

import base64
import email
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from fingerprint.errors import FingerprintError, UsageError
from fingerprint.suspects.endpoints import make_adapter, parse_address
from fingerprint.suspects.endpoints.generic import Template
from fingerprint.suspects.endpoints.transport import NoAnswer, Reply
from tests.support.endpoints import SHAPE, close, connected, network, pixels
from tests.support.servers import Said, Seen, Server

SCORES = '[answer]\nscores = "$.result.scores"\n'
EXPECTED = network(np.float32(pixels()) / np.float32(255))
Take = Callable[[Seen], bytes]


def unpacked(file: bytes) -> NDArray[np.float32]:
    picture = np.asarray(Image.open(io.BytesIO(file)), np.float32)
    return picture.transpose(2, 0, 1)[None] / np.float32(255)


def of_json(seen: Seen) -> bytes:
    prefix, text = seen.json["image"]["url"].split(",")
    assert prefix == "data:image/png;base64"
    assert seen.json["top"] == 5
    return base64.b64decode(text)


def of_form(seen: Seen) -> bytes:
    kind = seen.headers["content-type"].encode()
    form = email.message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + seen.body)
    parts = {part.get_param("name", header="content-disposition"): part for part in form.walk()}
    assert parts["mode"].get_payload() == "scores"
    file = parts["photo"].get_payload(decode=True)
    assert isinstance(file, bytes)
    return file


PICTURES: dict[str, tuple[str, Take]] = {
    "json": (
        '[body]\njson = { top = 5, image = { url = "data:image/png;base64,{png}" } }\n',
        of_json,
    ),
    "multipart": (
        '[body.multipart]\nname = "photo"\ncontent = "png"\nfields = { mode = "scores" }\n',
        of_form,
    ),
    "raw": ('[body]\nraw = "png"\n', lambda seen: seen.body),
}


def written(folder: Path, text: str) -> str:
    (folder / "endpoint.toml").write_text(text, encoding="utf-8")
    return f"generic:{folder / 'endpoint.toml'}"


@pytest.mark.parametrize("body", PICTURES)
def test_a_picture_arrives_whole_in_any_kind_of_body(body: str, tmp_path: Path) -> None:
    text, take = PICTURES[body]

    def answer(seen: Seen) -> Said:
        return Said(json={"result": {"scores": network(unpacked(take(seen)))[0].tolist()}})

    with Server(answer) as server:
        endpoint = connected(server.url + "/ask", written(tmp_path, text + SCORES))
        close(endpoint.answer(pixels()), EXPECTED)


@pytest.mark.parametrize(("place", "batch"), [("{tensor}", 1), ("{tensors}", 8)])
def test_tensors_go_alone_or_together(place: str, batch: int, tmp_path: Path) -> None:
    def answer(seen: Seen) -> Said:
        given = np.array(seen.json["x"])
        rows = network(given if batch > 1 else given[None])
        return Said(json={"result": {"scores": (rows if batch > 1 else rows[0]).tolist()}})

    text = f'[body]\njson = {{ x = "{place}" }}\n' + SCORES
    with Server(answer) as server:
        endpoint = connected(server.url, written(tmp_path, text))
        close(endpoint.answer(pixels()), EXPECTED)
    assert len(server.seen) == (2 if batch > 1 else 8)


def test_a_raw_tensor_is_float32_in_order(tmp_path: Path) -> None:
    def answer(seen: Seen) -> Said:
        rows = network(np.frombuffer(seen.body, "<f4").reshape(1, *SHAPE))
        return Said(json={"result": {"scores": rows[0].tolist()}})

    with Server(answer) as server:
        endpoint = connected(server.url, written(tmp_path, '[body]\nraw = "tensor"\n' + SCORES))
        close(endpoint.answer(pixels()), EXPECTED)


def test_a_jpeg_is_sent_with_a_warning(tmp_path: Path) -> None:
    def answer(seen: Seen) -> Said:
        return Said(json={"result": {"scores": network(unpacked(seen.body))[0].tolist()}})

    with Server(answer) as server:
        endpoint = connected(server.url, written(tmp_path, '[body]\nraw = "jpeg"\n' + SCORES))
        assert np.isfinite(endpoint.answer(pixels(1))).all()
    assert server.seen[-1].headers["content-type"] == "image/jpeg"
    assert "JPEG" in endpoint.warnings[0]


def test_headers_and_query_come_from_the_environment_and_are_told_to_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "s3cr3t")
    text = (
        'method = "PUT"\n[headers]\nX-Api-Key = "env:API_KEY"\n'
        '[query]\nkey = "env:API_KEY"\nversion = "2 b"\n[body]\nraw = "png"\n' + SCORES
    )

    def answer(seen: Seen) -> Said:
        return Said(json={"result": {"scores": network(unpacked(seen.body))[0].tolist()}})

    with Server(answer) as server:
        endpoint = connected(server.url + "/ask", written(tmp_path, text))
        endpoint.answer(pixels(1))
    seen = server.seen[-1]
    assert (seen.method, seen.path) == ("PUT", "/ask?key=s3cr3t&version=2+b")
    assert seen.headers["x-api-key"] == "s3cr3t"
    assert "s3cr3t" not in json.dumps([endpoint.facts(), endpoint.identity.to_dict()])
    adapter = endpoint.adapter
    assert "s3cr3t" not in repr(getattr(adapter, "template", None))


@pytest.mark.parametrize(
    ("answer", "document", "expected"),
    [
        ('label = "$.best"', {"best": "cat"}, {"cat": 1.0}),
        (
            'label = "$.r[*].name"\nscore = "$.r[*].p"',
            {"r": [{"name": "cat", "p": 0.75}, {"name": 3, "p": 0}]},
            {"cat": 0.75, "3": 0.0},
        ),
        ('scores = "$.r[*].p"', {"r": [{"p": 1}, {"p": 2}]}, [1.0, 2.0]),
        ('scores = "$.r"', {"r": [1, 2]}, [1.0, 2.0]),
        ('scores = "$.r"', {"r": 7}, [7.0]),
    ],
)
def test_paths_lead_to_numbers_or_names(
    answer: str, document: Any, expected: Any, tmp_path: Path
) -> None:
    name = written(tmp_path, f'[body]\nraw = "png"\n[answer]\n{answer}\n')
    adapter = make_adapter(name, parse_address("https://host/"))
    (found,) = adapter.decode(Reply(headers={}, body=json.dumps(document).encode()), 1)
    assert (found if isinstance(found, dict) else list(found)) == expected


@pytest.mark.parametrize(
    "document", [{}, [], {"r": []}, {"r": None}, {"r": "cat"}, {"r": [[1, 2], [3]]}, 5, None]
)
def test_where_no_path_leads_there_is_no_answer(document: Any, tmp_path: Path) -> None:
    body = Reply(headers={}, body=json.dumps(document).encode())
    for answer in ('scores = "$.r"', 'label = "$.r[*].a"\nscore = "$.r[*].b"'):
        name = written(tmp_path, f'[body]\nraw = "png"\n[answer]\n{answer}\n')
        with pytest.raises(NoAnswer):
            make_adapter(name, parse_address("https://host/")).decode(body, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"\[body\]"),
        ("= 5", "TOML"),
        ("\udcff", "TOML"),
        ("[body]\nraw = 'png'\n", r"\[answer\]"),
        ("[body]\nraw = 'gif'\n" + SCORES, "png"),
        ("[body]\nraw = 'png'\njson = 5\n" + SCORES, "one of json"),
        ("[body]\njson = { a = 'x' }\n" + SCORES, "{png}"),
        ("[body]\njson = { a = '{png}', b = '{tensor}' }\n" + SCORES, "got 2"),
        ("[body]\njson = { '{png}' = 'a' }\n" + SCORES, "as a value"),
        ("[body]\njson = { a = 'x {tensor}' }\n" + SCORES, "by itself"),
        ("[body]\nmultipart = { nome = 'x' }\n" + SCORES, "nome"),
        ("body = 5\n" + SCORES, "table"),
        ("[body]\nraw = 'png'\n[answer]\nscores = '$['\n", "JSONPath"),
        ("[body]\nraw = 'png'\n[answer]\nscores = '$.a'\nlabel = '$.b'\n", "scores, or label"),
        ("[body]\nraw = 'png'\n[answer]\nscores = '$.a'\nscore = '$.b'\n", "scores, or label"),
        ("[body]\njson = { a = '{tensors}' }\n[answer]\nlabel = '$.a'\n", "{tensors}"),
        ("method = 'GET'\n[body]\nraw = 'png'\n" + SCORES, "POST or PUT"),
        ("verify = false\n[body]\nraw = 'png'\n" + SCORES, "verify"),
        ("[headers]\nHost = 'other'\n[body]\nraw = 'png'\n" + SCORES, "Host"),
        ("[headers]\na = 'env:NOT_SET'\n[body]\nraw = 'png'\n" + SCORES, "NOT_SET"),
        ('[headers]\na = "x\\r\\nb: y"\n[body]\nraw = "png"\n' + SCORES, "printable"),
        ("[headers]\n'a b\\n' = 'x'\n[body]\nraw = 'png'\n" + SCORES, "headers"),
    ],
)
def test_a_file_that_says_something_else_is_refused_in_a_line(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "endpoint.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape") or b"\n")
    with pytest.raises(UsageError, match=said) as refused:
        Template.read(path)
    assert "\n" not in str(refused.value)


def test_the_file_in_the_documentation_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[4] / "docs" / "endpoints.md").read_text(encoding="utf-8")
    (block,) = [one for one in page.split("```") if "[answer]" in one and "[body]" in one]
    monkeypatch.setenv("API_KEY", "key")
    (tmp_path / "page.toml").write_text(block, encoding="utf-8")
    template = Template.read(tmp_path / "page.toml")
    assert (template.content, template.query) == ("png", {"version": "2024-02-01"})


def test_a_file_that_is_none_or_an_adapter_nobody_knows_is_refused(tmp_path: Path) -> None:
    address = parse_address("https://host/")
    for name in ("generic", "generic:", "oip:file", "soap", "", f"generic:{tmp_path}/none.toml"):
        with pytest.raises(FingerprintError):
            make_adapter(name, address)
    with pytest.raises(UsageError, match="--output"):
        make_adapter("generic:x.toml", address, output="y")
