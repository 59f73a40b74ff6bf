"""SageMaker: nested lists in, rows out, and every request signed where AWS itself is asked."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Callable
from urllib.parse import quote

import numpy as np
import pytest

from fingerprint.errors import EnvironmentFailure, InputRefused, UsageError
from fingerprint.network.spec import InputSpec
from fingerprint.suspects.endpoints import Limits, Transport, make_adapter, parse_address
from fingerprint.suspects.endpoints.endpoint import encoded
from fingerprint.suspects.endpoints.form import Form
from fingerprint.suspects.endpoints.pacing import Pacer
from fingerprint.suspects.endpoints.transport import Call, Reply
from tests.support.endpoints import close, connected, network, pixels
from tests.support.servers import Said, Seen, Server

EXPECTED = network(np.float32(pixels(11)) / np.float32(255))
SIGNED = "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/ours"
KEY, SECRET, SESSION = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a/session=token"


def rows(seen: Seen) -> list[list[float]]:
    found: list[list[float]] = network(np.asarray(seen.json, np.float32)).tolist()
    return found


@pytest.mark.parametrize("path", ["", "/invocations"])
@pytest.mark.parametrize("answer", [rows, lambda seen: {"predictions": rows(seen)}])
def test_a_container_by_itself_is_asked_without_a_signature(
    path: str, answer: Callable[[Seen], object]
) -> None:
    with Server(lambda seen: Said(json=answer(seen))) as server:
        endpoint = connected(server.url + path, "sagemaker")
        close(endpoint.answer(pixels(11)), EXPECTED)
    assert {seen.path for seen in server.seen} == {"/invocations"}
    assert endpoint.adapter.signature() is None


def test_no_request_is_larger_than_it_takes() -> None:
    adapter = make_adapter("sagemaker", parse_address(SIGNED))
    form = Form(spec=InputSpec(shape=(3, 128, 128)))
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 128, 128), dtype=np.uint8)
    calls = encoded(adapter, form, images)
    assert len(calls) > 1
    assert max(len(call.body) for call in calls) <= 5_000_000
    assert sum(call.inputs for call in calls) == 8
    large = Form(spec=InputSpec(shape=(3, 512, 512)))
    with pytest.raises(InputRefused, match="5000000"):
        encoded(adapter, large, np.tile(images[:1], (1, 1, 4, 4)))


def test_without_a_region_nothing_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    adapter = make_adapter("sagemaker", parse_address("https://gateway.example/endpoints/ours"))
    with pytest.raises(UsageError, match="AWS_REGION"):
        adapter.signature()


def test_without_botocore_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("botocore.session", "botocore.exceptions"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(EnvironmentFailure, match=r"nullprint\[aws\]"):
        make_adapter("sagemaker", parse_address(SIGNED)).signature()


def signed_by(seen: Seen, region: str) -> str:
    """Computes the signature of a request as Amazon documents it, by hand."""
    stamp = seen.headers["x-amz-date"]
    names = seen.headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    lines = [f"{name}:{seen.headers[name]}" for name in names.split(";")]
    request = "\n".join(
        [
            *(seen.method, quote(seen.path, safe="/~"), "", *lines, "", names),
            hashlib.sha256(seen.body).hexdigest(),
        ]
    )
    scope = f"{stamp[:8]}/{region}/sagemaker/aws4_request"
    text = "\n".join(
        ["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(request.encode()).hexdigest()]
    )
    key = f"AWS4{SECRET}".encode()
    for part in (*scope.split("/"), text):
        key = hmac.digest(key, part.encode(), "sha256")
    return (
        f"AWS4-HMAC-SHA256 Credential={KEY}/{scope}, SignedHeaders={names}, Signature={key.hex()}"
    )


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("botocore", reason="pip install 'nullprint[aws]'")
    for name, value in (
        ("AWS_ACCESS_KEY_ID", KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_SESSION_TOKEN", SESSION),
        ("AWS_REGION", "eu-west-1"),
    ):
        monkeypatch.setenv(name, value)


async def at_once(seconds: float) -> None:
    del seconds


@pytest.mark.aws
@pytest.mark.usefixtures("keys")
def test_every_try_of_a_request_is_signed_as_amazon_documents_it() -> None:
    def answer(seen: Seen) -> Said:
        right = seen.headers["authorization"] == signed_by(seen, "eu-west-1")
        if not right or seen.headers["x-amz-security-token"] != SESSION:
            return Said(status=403)
        return Said(status=503) if len(server.seen) == 1 else Said(json=rows(seen))

    with Server(answer) as server:
        adapter = make_adapter("sagemaker", parse_address(server.url + "/endpoints/our%20model"))
        transport = Transport(
            adapter.address,
            ("127.0.0.1",),
            Limits(timeout=20),
            sign=adapter.signature(),
            pacer=Pacer(clock=lambda: 0.0, sleep=at_once),
        )
        form = Form(spec=InputSpec(shape=(3, 4, 4)))
        call = adapter.encode(pixels(2), form)
        (found,) = transport.send([call], lambda call, reply: adapter.decode(reply, call.inputs))
    assert [seen.path for seen in server.seen] == ["/endpoints/our%20model/invocations"] * 2
    assert found is not None
    close(np.stack([*found]), EXPECTED[:2])
    assert not [seen for seen in server.seen if SECRET.encode() in seen.body]
    assert not [value for seen in server.seen for value in seen.headers.values() if SECRET in value]


@pytest.mark.aws
@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("runtime.sagemaker.us-east-2.amazonaws.com", "us-east-2"),
        ("runtime-fips.sagemaker.us-gov-west-1.amazonaws.com", "us-gov-west-1"),
        ("runtime.sagemaker.cn-north-1.amazonaws.com.cn", "cn-north-1"),
        ("vpce-1-2.runtime.sagemaker.us-east-1.vpce.amazonaws.com", "us-east-1"),
        ("runtime.sagemaker.us-east-2.amazonaws.com.evil.example", "eu-west-1"),
    ],
)
def test_the_region_is_that_of_the_host_or_the_one_stated(host: str, region: str) -> None:
    adapter = make_adapter("sagemaker", parse_address(f"https://{host}/endpoints/ours"))
    sign = adapter.signature()
    assert sign is not None
    headers = sign(Call(path=adapter.path, body=b"[]"))
    assert f"/{region}/sagemaker/aws4_request" in headers["Authorization"]


@pytest.mark.aws
def test_without_keys_it_says_where_they_are_looked_for(
    keys: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = pytest.importorskip("botocore.session")
    monkeypatch.setattr(session.Session, "get_credentials", lambda self: None)
    with pytest.raises(UsageError, match="AWS_ACCESS_KEY_ID"):
        make_adapter("sagemaker", parse_address(SIGNED)).signature()


def test_an_output_by_name_is_not_in_rows() -> None:
    adapter = make_adapter("sagemaker", parse_address(SIGNED), output="scores")
    named = Reply(headers={}, body=json.dumps({"predictions": [{"scores": [1, 2]}]}).encode())
    assert [[*row] for row in adapter.decode(named, 1)] == [[1.0, 2.0]]
    with pytest.raises(Exception, match="--output"):
        adapter.decode(Reply(headers={}, body=b"[[1, 2]]"), 1)
