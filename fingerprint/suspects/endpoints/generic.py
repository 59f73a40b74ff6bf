"""Any endpoint, described by one TOML file of the auditor's own.

::

    method = "POST"

    [headers]
    X-Api-Key = "env:API_KEY"            # from the environment, so that the file holds no secret

    [body]                               # json, or multipart, or raw = "png", "jpeg" or "tensor"
    json = { image = "data:image/png;base64,{png}", top = 5 }

    [answer]                             # JSONPath (RFC 9535)
    label = "$.result[*].class"
    score = "$.result[*].confidence"     # or, without names: scores = "$.result.scores"

In a JSON body ``{png}`` and ``{jpeg}`` stand for a picture in base64, ``{tensor}`` for the nested
lists of one input and ``{tensors}`` for those of several.
"""

from __future__ import annotations

import base64
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlencode

import httpx2
import jsonpath
from numpy.typing import NDArray

from fingerprint.errors import UsageError
from fingerprint.formats.file_bytes import read_file
from fingerprint.suspects.endpoints.adapter import (
    DAMAGE,
    JSON,
    Adapter,
    Answer,
    document,
    json_body,
    rows,
)
from fingerprint.suspects.endpoints.address import Address
from fingerprint.suspects.endpoints.form import Form, Picture
from fingerprint.suspects.endpoints.huggingface import named
from fingerprint.suspects.endpoints.transport import Call, NoAnswer, Reply
from fingerprint.text import clean, first_line, listed

__all__ = ["Generic", "Template", "header_value"]

Content = Literal["png", "jpeg", "tensor"]
_Path = jsonpath.JSONPath | jsonpath.CompoundJSONPath

_MAX_FILE = 2**20
_ENVIRONMENT = "env:"
_OURS = frozenset({"host", "content-length", "transfer-encoding", "accept-encoding", "connection"})
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_PICTURES: Mapping[str, Picture] = {"png": "PNG", "jpeg": "JPEG"}
_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "tensor": "application/octet-stream"}
_PLACES = ("{png}", "{jpeg}", "{tensor}", "{tensors}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a file says of an endpoint.

    Attributes:
        content: What stands for an input: a picture, or a tensor.
        batched: Whether one request may hold several inputs.
        method: HTTP method.
        headers: With the environment's values filled in; never shown.
        query: The same, of what follows the address.
        json: Body with places to fill; None for others.
        upload: Name of the form field that holds the input, in a multipart body.
        fields: The same, of the other fields of that form.
        scores: Path to the numbers of an answer.
        label: Path to the names of its classes.
        score: Path to as many scores; without it a name alone is an answer.
        digest: SHA-256 of the file.
    """

    content: Content
    batched: bool = False
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    json: Any = None
    upload: str = ""
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    scores: _Path | None = None
    label: _Path | None = None
    score: _Path | None = None
    digest: str = ""

    @classmethod
    def read(cls, path: Path) -> Template:
        """Reads a file.

        Raises:
            UsageError: It is none, says what there is not, or names a variable that is not set.
            UnsafeFile: It is too large, or no file.
        """
        content = read_file(str(path), max_bytes=_MAX_FILE)
        try:
            given = tomllib.loads(content.data.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{clean(path)}: expected TOML: {first_line(error)}") from error
        try:
            return _template(given, content.sha256)
        except UsageError as error:
            raise UsageError(f"{clean(path)}: {error}") from error


class Generic(Adapter):
    """Asks at exactly the address given, as a template says."""

    name = "generic"

    def __init__(self, address: Address, template: Template) -> None:
        super().__init__(address)
        self.template = template
        self.takes_pictures = template.content in _PICTURES
        self.batch = type(self).batch if template.batched else 1
        if template.content == "jpeg":
            self.warnings = (
                "inputs are sent as JPEG, which changes each of them: few probes survive that; "
                "send PNG or a tensor, if the endpoint takes one",
            )
        if template.query:
            self.path = f"{self.path}?{urlencode(template.query)}"

    def encode(self, inputs: NDArray[Any], form: Form) -> Call:
        """Fills the template; see :meth:`Adapter.encode`."""
        kind, given = self.template.content, self.template
        if kind in _PICTURES:
            value: Any = form.pictures(inputs, _PICTURES[kind])[0]
        else:
            value = form.tensors(inputs)
        types, body = self._body(kind, value)
        return Call(
            path=self.path,
            method=given.method,
            headers={**types, **given.headers},
            body=body,
            inputs=len(inputs),
        )

    def _body(self, kind: Content, value: Any) -> tuple[Mapping[str, str], bytes]:
        given = self.template
        raw = value if kind in _PICTURES else value.tobytes()
        if given.json is not None:
            if kind in _PICTURES:
                values = {f"{{{kind}}}": base64.b64encode(raw).decode()}
            else:
                values = {"{tensor}": value[0].tolist(), "{tensors}": value.tolist()}
            return JSON, json_body(_filled(given.json, values))
        if given.upload:
            file = (f"input.{kind}", raw, _TYPES[kind])
            request = httpx2.Request(
                "POST", "https://host/", data=dict(given.fields), files={given.upload: file}
            )
            return {"Content-Type": request.headers["Content-Type"]}, request.read()
        return {"Content-Type": _TYPES[kind]}, raw

    def decode(self, reply: Reply, count: int) -> Sequence[Answer]:
        """Follows the paths; see :meth:`Adapter.decode`."""
        given, value = self.template, document(reply.body)
        try:
            if given.scores is not None:
                found = given.scores.findall(value)
                numbers = found[0] if len(found) == 1 and isinstance(found[0], list) else found
                return list(rows(numbers if given.batched else [numbers], count))
            assert given.label is not None
            labels = given.label.findall(value)
            scores = given.score.findall(value) if given.score else [1.0] * len(labels)
            return [named(labels, scores)]
        except (jsonpath.JSONPathError, *DAMAGE) as error:
            raise NoAnswer("the paths of [answer] do not lead through what came") from error

    def facts(self) -> dict[str, Any]:
        """The adapter and the digest of its file."""
        return {**super().facts(), "request": self.template.digest}


def header_value(text: str, what: str) -> str:
    """Checks the value of a header, and does not show it.

    Raises:
        UsageError: A header cannot hold it.
    """
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise UsageError(f"{what}: expected printable ASCII without blanks around it, got others")
    return text


def _template(given: dict[str, Any], digest: str) -> Template:
    _only(given, "the file", {"method", "headers", "query", "body", "answer"})
    body, answer = _table(given, "body"), _table(given, "answer")
    _only(body, "[body]", {"json", "multipart", "raw"})
    _only(answer, "[answer]", {"scores", "label", "score"})
    if len(body) != 1:
        raise UsageError(f"[body]: expected one of json, multipart and raw, got {len(body)}")
    if ("scores" in answer) == ("label" in answer) or answer.keys() == {"scores", "score"}:
        raise UsageError("[answer]: expected scores, or label and perhaps score")
    paths = {key: _path(key, value) for key, value in answer.items()}
    method = str(given.get("method", "POST")).upper()
    if method not in ("POST", "PUT"):
        raise UsageError(f"method: expected POST or PUT, got {clean(method)}")
    headers = _values(_table(given, "headers"), "[headers]")
    wrong = [one for one in headers if one.lower() in _OURS or not _TOKEN.fullmatch(one)]
    if wrong:
        raise UsageError(f"[headers]: {listed(wrong)} cannot be set")
    query = _values(_table(given, "query"), "[query]")
    template = Template(
        **_body(body),
        scores=paths.get("scores"),
        label=paths.get("label"),
        score=paths.get("score"),
        method=method,
        headers=headers,
        query=query,
        digest=digest,
    )
    if template.batched and template.scores is None:
        raise UsageError("[answer]: expected scores for {tensors}, whose answers are rows")
    return template


def _body(body: dict[str, Any]) -> dict[str, Any]:
    """Returns the parts of a template that say what is sent."""
    if "raw" in body:
        return {"content": _content(body["raw"], "[body] raw")}
    if "multipart" in body:
        form = _table(body, "multipart")
        _only(form, "[body] multipart", {"name", "content", "fields"})
        name = form.get("name", "file")
        if not isinstance(name, str) or not name:
            raise UsageError("[body] multipart: expected name = the field that holds the input")
        return {
            "content": _content(form.get("content", "png"), "[body] multipart content"),
            "upload": name,
            "fields": _values(_table(form, "fields"), "[body] multipart fields"),
        }
    text = json_body(body["json"]).decode()
    places = [place for place in _PLACES if place in text]
    if len(places) != 1:
        raise UsageError(f"[body] json: expected one of {', '.join(_PLACES)}, got {len(places)}")
    if places[0] in json_body(_filled(body["json"], {places[0]: ""})).decode():
        raise UsageError(f"[body] json: expected {places[0]} as a value, not as a key")
    content = places[0].strip("{}s")
    if content == "tensor" and f'"{places[0]}"' not in text:
        raise UsageError(f"[body] json: expected {places[0]} by itself, not inside a text")
    return {"content": content, "batched": places[0] == "{tensors}", "json": body["json"]}


def _filled(value: Any, values: Mapping[str, Any]) -> Any:
    """Puts values into their places: a list instead of the whole text, a text inside of it."""
    if isinstance(value, dict):
        return {key: _filled(one, values) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, values) for one in value]
    if not isinstance(value, str):
        return value
    for place, filling in values.items():
        if isinstance(filling, str):
            value = value.replace(place, filling)
        elif value == place:
            return filling
    return value


def _content(value: Any, where: str) -> Content:
    for known in get_args(Content):
        if value == known:
            content: Content = known
            return content
    raise UsageError(f"{where}: expected {', '.join(get_args(Content))}, got {clean(value)}")


def _path(key: str, value: Any) -> _Path:
    try:
        return jsonpath.JSONPathEnvironment(strict=True).compile(str(value))
    except jsonpath.JSONPathError as error:
        raise UsageError(
            f"[answer] {key}: expected a JSONPath such as $.scores: {first_line(error)}"
        ) from error


def _values(table: dict[str, Any], where: str) -> dict[str, str]:
    """Returns texts, those of the environment filled in."""
    values = {}
    for name, value in table.items():
        text = str(value)
        if text.startswith(_ENVIRONMENT):
            variable = text.removeprefix(_ENVIRONMENT)
            if variable not in os.environ:
                raise UsageError(f"{where} {clean(name)}: ${clean(variable)} is not set")
            text = os.environ[variable]
        values[header_value(name, where)] = header_value(text, f"{where} {clean(name)}")
    return values


def _table(given: dict[str, Any], key: str) -> dict[str, Any]:
    table = given.get(key, {})
    if not isinstance(table, dict):
        raise UsageError(f"{key}: expected a table, got something else")
    return table


def _only(given: Mapping[str, Any], where: str, known: set[str]) -> None:
    others = sorted(given.keys() - known)
    if others:
        raise UsageError(f"{where}: expected only {', '.join(sorted(known))}, got {listed(others)}")
