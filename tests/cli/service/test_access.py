"""Who may do what: tokens are hashed, shown once, and open no more than they say."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from tests.cli.service.conftest import Served, limited


def refused(answer: Any, status: int) -> str:
    """Checks that an answer is a problem document of one line, and returns the line."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) == {"type", "title", "status", "detail", "kind"}
    assert problem["status"] == status
    assert "\n" not in problem["detail"]
    return str(problem["detail"])


@pytest.mark.parametrize(
    "header",
    ["", "Bearer", "Bearer x", "Bearer fp_000000000000_" + "a" * 43, "Basic !", "Digest x"],
)
@pytest.mark.parametrize("path", ["/v1/models", "/v1/jobs", "/v1/audit", "/", "/verdicts/1"])
def test_without_a_token_nothing_is_shown(served: Served, path: str, header: str) -> None:
    answer = served.client.get(path, headers={"Authorization": header} if header else {})
    refused(answer, 401)
    expected = "Bearer" if path.startswith("/v1") else "Basic"
    assert answer.headers["www-authenticate"].startswith(expected)


def test_a_token_with_one_character_changed_is_nobodys(served: Served) -> None:
    secret = served.tokens["admin"]
    last = "A" if secret[-1] != "A" else "B"
    refused(
        served.client.get("/v1/models", headers={"Authorization": f"Bearer {secret[:-1]}{last}"}),
        401,
    )
    assert served.get("/v1/models", "admin").status_code == 200


def test_browsers_send_passwords_unasked_so_only_pages_take_them(served: Served) -> None:
    password = base64.b64encode(f"me:{served.tokens['admin']}".encode()).decode()
    header = {"Authorization": f"Basic {password}"}
    assert served.client.get("/", headers=header).status_code == 200
    refused(served.client.get("/v1/models", headers=header), 401)
    refused(served.client.post("/v1/uploads?filename=x", headers=header, content=b"x"), 401)


# What each role may, beside reading.
MAY = {
    "reader": (),
    "registrar": ("upload", "register"),
    "auditor": ("upload", "verify", "probes"),
    "admin": ("upload", "register", "verify", "probes", "audit"),
}


@pytest.mark.parametrize("role", MAY)
def test_a_role_opens_what_it_says_and_no_more(served: Served, role: str) -> None:
    for path in ("/v1/models", "/v1/models/ours", "/v1/verifications/1", "/v1/jobs", "/"):
        assert served.get(path, role).status_code == 200
    sent = {
        "upload": served.post("/v1/uploads?filename=x.pt", role, content=b"x"),
        "register": served.post("/v1/models", role, json={"upload": "0" * 16}),
        "verify": served.post("/v1/verifications", role, json={"upload": "0" * 16}),
        "probes": served.get("/v1/verifications/1/report?probes=true", role),
        "audit": served.get("/v1/audit", role),
    }
    for what, answer in sent.items():
        assert (answer.status_code != 403) is (what in MAY[role]), what
        assert answer.status_code < 500


def test_of_a_token_only_its_hash_is_kept(served: Served) -> None:
    kept = b"".join(path.read_bytes() for path in served.service.store.folder.glob("service.db*"))
    assert b"auditor" in kept
    for secret in served.tokens.values():
        assert secret.encode() not in kept
        assert secret.split("_", 2)[2].encode() not in kept
    assert served.service.store.folder.stat().st_mode & 0o077 == 0


def test_a_revoked_token_is_nobodys_at_once_and_its_name_stays_taken(served: Served) -> None:
    served.service.tokens.revoke("reader")
    refused(served.get("/v1/models"), 401)
    with pytest.raises(Exception, match="has or had a token"):
        served.service.tokens.make("reader", ("reader",))


def test_who_asks_too_often_waits_and_others_do_not(served: Served) -> None:
    slow = limited(served, rate=3)
    for _ in range(3):
        assert slow.get("/v1/jobs").status_code == 200
    answer = slow.get("/v1/jobs")
    assert "at most 3 requests a minute" in refused(answer, 429)
    assert answer.headers["retry-after"]
    assert slow.get("/v1/jobs", "auditor").status_code == 200


def test_who_guesses_is_stopped_and_who_has_a_token_is_not(served: Served) -> None:
    guesses = [
        served.client.get("/v1/jobs", headers={"Authorization": f"Bearer {number}"}).status_code
        for number in range(40)
    ]
    assert guesses[:30] == [401] * 30
    assert guesses[30:] == [429] * 10
    assert served.get("/v1/jobs").status_code == 200
