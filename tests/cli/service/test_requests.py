"""What comes in is checked before anything is done with it, and every refusal is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.service.conftest import Served
from tests.cli.service.test_access import refused
from tests.support.dossiers import HOSTILE

FILE = "0123456789abcdef"


def test_which_exported_picture_is_which_probe_is_shown_to_nobody(
    served: Served, tmp_path: Path
) -> None:
    export = served.service.registry.export_probes(["ours"], tmp_path / "handout")
    (entry,) = served.get("/v1/audit?limit=1", "admin").json()["entries"]
    assert entry["action"] == "hand out"
    assert export.id in str(entry)
    picture = next((tmp_path / "handout" / "pictures").iterdir())
    assert picture.stem not in str(entry)


def test_models_and_verdicts_are_shown_without_folders(served: Served) -> None:
    models = served.get("/v1/models").json()["models"]
    assert [one["name"] for one in models] == ["ours", *HOSTILE[:2]]
    assert {one["file"] for one in models} == {"0.safetensors", "1.safetensors", "2.safetensors"}
    assert served.get("/v1/models/ours").json()["pairs"] == []
    (row,) = served.get("/v1/verifications").json()["verifications"]
    assert row["number"] == 1
    assert served.get("/v1/verifications?before=1").json()["verifications"] == []
    assert served.get("/v1/verifications/1").json()["candidates"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/models/nobody", 404),
        ("/v1/verifications/2", 404),
        ("/v1/verifications/2/report", 404),
        ("/v1/verifications/0", 422),
        ("/v1/verifications/99999999999999999999999", 422),
        ("/v1/verifications/x", 422),
        ("/v1/verifications?limit=0", 422),
        (f"/v1/jobs/{FILE}", 404),
        ("/v1/jobs/..%2f..%2fetc", 404),
        ("/v1/models/%00", 422),
        ("/v1/nothing", 404),
        ("/docs", 404),
    ],
)
def test_what_is_not_there_is_a_problem_document(served: Served, path: str, status: int) -> None:
    refused(served.get(path), status)


@pytest.mark.parametrize(
    "wish",
    [
        {},
        {"upload": FILE, "uri": "https://models.example/m.safetensors"},
        {"upload": FILE, "loading": {"no_sandbox": True}},
        {"upload": FILE, "device": "cuda"},
        {"upload": "../../etc/passwd"},
        {"uri": "file:///etc/passwd"},
        {"uri": "https://me:secret@models.example/m.safetensors"},
        {"uri": "https://models.example/m.safetensors?signature=secret"},
        {"upload": FILE, "probes": 10**9},
        {"upload": FILE, "parent": "ours", "from_scratch": True},
        {"upload": FILE, "loading": {"mean": [float("1e999")]}},
        {"upload": FILE, "loading": {"input_size": [1, 2, 3, 4, 5]}},
        {"upload": FILE},
        [],
        None,
    ],
)
def test_a_wish_that_cannot_be_is_refused_and_leaves_nothing(served: Served, wish: Any) -> None:
    before = served.actions()
    body = json.dumps(wish).replace("Infinity", "1e999")
    headers = {**served.as_("registrar"), "content-type": "application/json"}
    line = refused(served.client.post("/v1/models", headers=headers, content=body), 422)
    assert "secret" not in line
    assert served.actions() == before
    assert served.get("/v1/jobs", "admin").json()["jobs"] == []


@pytest.mark.parametrize(
    "asking",
    [
        {"adapter": "generic:/etc/passwd"},
        {"adapter": "sagemaker"},
        {"token_env": "AWS_SECRET_ACCESS_KEY"},
        {"allow_private": True},
        {"token": "two\r\nlines: x"},
        {"timeout": 1e9},
    ],
)
def test_nobody_borrows_what_is_the_servers(served: Served, asking: dict[str, Any]) -> None:
    wish = {"address": "https://models.example/v2/models/m", "asking": asking}
    refused(served.post("/v1/verifications", "auditor", json=wish), 422)


@pytest.mark.parametrize("body", [b"{", b"\xff", b"[" * 100_000, b'{"a":' * 5000])
def test_what_is_no_json_is_refused(served: Served, body: bytes) -> None:
    headers = {**served.as_("auditor"), "content-type": "application/json"}
    answer = served.client.post("/v1/verifications", headers=headers, content=body)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_body_that_is_no_file_stays_small(served: Served) -> None:
    headers = {**served.as_("auditor"), "content-type": "application/json"}
    body = b'{"upload": "' + b"x" * 2**20 + b'"}'
    answer = served.client.post("/v1/verifications", headers=headers, content=body)
    assert "at most 1048576 bytes" in refused(answer, 413)


def test_an_upload_is_kept_whole_or_not_at_all(served: Served) -> None:
    identifier = served.upload(name="../../etc/My%20model.safetensors", content=b"y" * 4096)
    (kept,) = served.service.store.files(identifier).iterdir()
    assert kept.name == "My_model.safetensors"
    assert kept.read_bytes() == b"y" * 4096
    large = served.post("/v1/uploads?filename=x.pt", "auditor", content=b"y" * 4097)
    assert "at most 4096 bytes" in refused(large, 413)
    refused(served.post("/v1/uploads?filename=x.pt", "auditor", content=b""), 422)
    assert [one.name for one in (served.service.store.folder / "files").iterdir()] == [identifier]


def test_uploads_that_nobody_uses_do_not_pile_up(served: Served) -> None:
    for _ in range(16):
        served.upload()
    refused(served.post("/v1/uploads?filename=x.pt", "auditor", content=b"x"), 429)
    served.upload("registrar")


def test_uploads_at_the_same_time_do_not_pile_up_either(served: Served) -> None:
    import anyio

    from cli.service.problems import TooMany

    refusals = []

    async def send(begun: anyio.Event, number: list[int]) -> None:
        async def chunks() -> Any:
            number.append(0)
            if len(number) == 16:
                begun.set()
            # None ends before as many have begun as may wait.
            with anyio.move_on_after(60):
                await begun.wait()
            yield b"x"

        try:
            await served.service.uploads.receive("alice", "x.pt", chunks())
        except TooMany:
            refusals.append(0)

    async def all_at_once() -> None:
        begun, number = anyio.Event(), list[int]()
        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(send, begun, number)

    anyio.run(all_at_once)
    assert len(refusals) == 4
    assert len([*(served.service.store.folder / "files").iterdir()]) == 16


def test_an_upload_on_its_way_is_nobodys_to_use_and_goes_with_its_sender(served: Served) -> None:
    import anyio

    seen = []

    async def chunks() -> Any:
        yield b"x"
        (folder,) = (served.service.store.folder / "files").iterdir()
        wish = {"upload": folder.name}
        seen.append(served.post("/v1/verifications", "auditor", json=wish).status_code)
        raise ConnectionError

    with pytest.raises(Exception, match="upload"):
        anyio.run(served.service.uploads.receive, "auditor", "x.pt", chunks())
    assert seen == [422]
    assert [*(served.service.store.folder / "files").iterdir()] == []
    for _ in range(16):
        served.upload()


def test_an_upload_serves_one_job_of_whoever_sent_it(served: Served) -> None:
    identifier = served.upload("auditor")
    wish = {"upload": identifier}
    refused(served.post("/v1/verifications", "admin", json=wish), 422)
    assert served.post("/v1/verifications", "auditor", json=wish).status_code == 202
    refused(served.post("/v1/verifications", "auditor", json=wish), 422)


def test_a_job_is_its_owners_and_an_admins_to_see_and_to_stop(served: Served) -> None:
    wish = {"upload": served.upload("auditor")}
    asked = served.post("/v1/verifications", "auditor", json=wish)
    where = asked.headers["location"]
    assert asked.json()["state"] == "queued"
    assert served.get(where, "auditor").status_code == 200
    refused(served.get(where, "registrar"), 404)
    refused(served.post(f"{where}/cancel", "registrar"), 404)
    assert served.get("/v1/jobs", "registrar").json()["jobs"] == []
    assert len(served.get("/v1/jobs", "admin").json()["jobs"]) == 1
    assert served.post(f"{where}/cancel", "admin").json()["state"] == "cancelled"
    assert served.post(f"{where}/cancel", "auditor").json()["state"] == "cancelled"


def test_the_chain_says_who_asked_for_what_and_who_stopped_it(served: Served) -> None:
    wish = {"upload": served.upload("auditor", content=b"a file")}
    job = served.post("/v1/verifications", "auditor", json=wish).json()["id"]
    served.post(f"/v1/jobs/{job}/cancel", "admin")
    asked, cancelled = (one for one in served.actions() if one[0] in ("ask", "cancel"))
    assert asked[1]["by"] == {"token": "auditor", "job": job}
    assert asked[1]["kind"] == "verify"
    assert len(asked[1]["file_sha256"]) == 64
    assert cancelled[1]["by"] == {"token": "admin", "job": job}
    entries = served.get("/v1/audit?limit=2", "admin").json()["entries"]
    assert [one["action"] for one in entries] == ["cancel", "ask"]
    assert entries[1]["by"] == {"token": "auditor", "job": job}
    served.service.registry.check()


def test_the_token_of_an_address_is_shown_to_nobody_and_goes_with_its_job(served: Served) -> None:
    asking = {"token": "s3cr3t", "labels": ["cat", "dog"]}
    wish = {"address": "https://models.example/v2/models/m", "asking": asking}
    answer = served.post("/v1/verifications", "auditor", json=wish)
    assert answer.status_code == 202
    assert "s3cr3t" not in answer.text
    private = served.service.store.private(answer.json()["id"])
    assert (private / "token").read_text() == "s3cr3t"
    assert (private / "token").stat().st_mode & 0o077 == 0
    for path in served.service.store.folder.glob("service.db*"):
        assert b"s3cr3t" not in path.read_bytes()
    assert "s3cr3t" not in str(served.actions())


def test_code_is_imported_only_where_the_operator_allows_it(served: Served) -> None:
    from cli.service.wishes import Loading
    from fingerprint.errors import InputRefused

    loading = Loading(arch="os:system")
    with pytest.raises(InputRefused, match="is code, which this service does not import"):
        loading.how(device="cpu", code=())
    assert loading.how(device="cpu", code=("os",)).arguments["arch"] == "os:system"


def test_a_registry_that_cannot_be_used_is_said_without_where_it_is(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from registry import Registry, RegistryCorrupt

    def fails(self: Registry) -> Any:
        raise RegistryCorrupt("/srv/secret/registry.db", ("models 1: wrong",))

    monkeypatch.setattr(Registry, "models", fails)
    line = refused(served.get("/v1/models"), 503)
    assert "/srv" not in line
    assert "/srv/secret/registry.db" in capsys.readouterr().err


def test_a_defect_is_a_problem_document_that_gives_nothing_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import Registry

    def fails(self: Registry) -> Any:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr(Registry, "models", fails)
    assert "secret" not in refused(served.get("/v1/models"), 500)
