"""``fp verify https://...``: a service is asked like a file, and its silence never passes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from typer.testing import CliRunner

from cli.main import app
from fingerprint import load_model
from fingerprint.lab.networks import mlp
from registry import Registry
from tests.support.servers import Said, Seen, Server, mlflow_server, oip, oip_server

ARCH = "fingerprint.lab.networks:mlp"
SHAPE = (1, 16, 16)
MODEL = "/v2/models/ours"
FED = ("--mean", "0.5", "--std", "0.5")
Network = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Fp = Callable[..., Any]


def untrained(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return mlp().eval()


def network(seed: int) -> Network:
    module = untrained(seed)

    def answer(values: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            rows: NDArray[np.float32] = module(torch.tensor(values, dtype=torch.float32)).numpy()
        return rows

    return answer


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of one untrained network."""
    folder = tmp_path_factory.mktemp("registry")
    save_file(untrained(0).state_dict(), folder / "ours.safetensors")
    model = load_model(
        folder / "ours.safetensors", arch=ARCH, input_size=SHAPE, mean=(0.5,), std=(0.5,)
    )
    with Registry(folder / "registry.db") as opened:
        opened.register(model, probes=24)
    return folder / "registry.db"


@pytest.fixture
def fp(database: Path) -> Fp:
    """Runs ``fp verify`` against that registry, loopback allowed."""

    def run(*arguments: object) -> Any:
        given = ("verify", *map(str, arguments), "--registry", str(database), *FED)
        return CliRunner().invoke(app, [*given, "--allow-private"], prog_name="fp")

    return run


@pytest.fixture
def ours() -> Iterator[Server]:
    """Our network, as a service."""
    with oip_server(network(0), SHAPE) as server:
        yield server


@pytest.mark.parametrize("binary", [False, True])
def test_our_model_as_a_service_is_the_same(fp: Fp, binary: bool) -> None:
    with oip_server(network(0), SHAPE, binary=binary) as server:
        result = fp(server.url + MODEL, "--adapter", "oip", "--expect", "ours", "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["verdict"], document["best"]) == (0, "same", "ours")
    assert document["suspect"]["address"] == server.url + MODEL
    asked = sum(tensor_count(seen) for seen in server.seen)
    assert asked == document["queries"] + 1


def tensor_count(seen: Seen) -> int:
    length = int(seen.headers.get("inference-header-content-length", len(seen.body)))
    return json.loads(seen.body[:length])["inputs"][0]["shape"][0] if seen.body else 0


def test_a_policy_fails_for_our_model_as_a_service(fp: Fp, ours: Server) -> None:
    assert fp(ours.url + MODEL, "--adapter", "oip", "--forbid", "ours").exit_code == 1


def test_a_stranger_is_one_only_where_its_model_gets_what_is_sent(fp: Fp) -> None:
    with mlflow_server(network(7)) as stranger:
        arguments = (stranger.url, "--adapter", "mlflow", "--forbid", "ours")
        doubted, stated = fp(*arguments), fp(*arguments, "--as-sent")
    assert (doubted.exit_code, stated.exit_code) == (4, 0)
    assert "Verdict: inconclusive" in doubted.stdout
    assert "say --as-sent" in doubted.stdout
    assert "Verdict: independent" in stated.stdout


@pytest.mark.parametrize(
    "between",
    [
        lambda values: np.ascontiguousarray(values[:, :, ::-1]),
        np.round,
        lambda values: np.kron(values[:, :, ::4, ::4], np.ones((4, 4), np.float32)),
    ],
    ids=["turned", "rounded", "resized"],
)
def test_our_model_behind_a_change_of_inputs_never_passes_for_a_stranger(
    fp: Fp, between: Network
) -> None:
    with oip_server(lambda values: network(0)(between(values)), SHAPE) as server:
        result = fp(server.url + MODEL, "--adapter", "oip", "--forbid", "ours")
    assert result.exit_code in (1, 4)


def test_what_is_asked_is_what_the_dry_run_said(fp: Fp, ours: Server) -> None:
    arguments = (ours.url + MODEL, "--adapter", "oip", "--per-request", "11")
    plan = json.loads(fp(*arguments, "--dry-run", "--json").stdout)["dry_run"]
    text = fp(*arguments, "--dry-run", "--max-queries", "9").stdout
    assert ours.seen == []
    assert plan["address"] == ours.url + MODEL
    assert f"asked at most {plan['questions']} inputs" in text
    assert f"and {plan['further']} more if it matches nobody" in text
    assert "--max-queries 9" in text
    assert "nothing was sent" in text
    assert fp(*arguments).exit_code == 0
    sent = [seen for seen in ours.seen if seen.body]
    assert sum(map(tensor_count, sent)) == plan["questions"]
    assert max(map(tensor_count, sent)) == plan["request_inputs"] == 11
    assert np.isclose(max(len(seen.body) for seen in sent), plan["request_bytes"], rtol=0.2)


def test_a_dry_run_looks_up_no_name(fp: Fp) -> None:
    result = fp("https://nobody.invalid/v2/models/a", "--adapter", "oip", "--dry-run")
    assert result.exit_code == 0


@pytest.mark.parametrize(("against", "code"), [((), 4), (("--against", "ours"), 3)])
def test_a_dry_run_of_inputs_that_no_model_takes_is_said(
    fp: Fp, against: tuple[str, ...], code: int
) -> None:
    address = ("https://nobody.invalid/v2/models/a", "--adapter", "oip")
    result = fp(*address, "--dry-run", "--input-size", "1,8,8", *against)
    assert (result.exit_code, result.stdout) == (code, "")
    assert "1x8x8" in result.stderr


def test_a_run_that_was_cut_off_is_gone_on_with(fp: Fp, ours: Server, tmp_path: Path) -> None:
    arguments = (ours.url + MODEL, "--adapter", "oip", "--journal", tmp_path / "journal")
    first = fp(*arguments, "--max-queries", "50")
    assert first.exit_code == 4
    assert "budget of 50 queries" in first.stdout
    assert sum(map(tensor_count, ours.seen)) == 50
    second = fp(*arguments, "--json")
    assert second.exit_code == 0
    known = 49
    total = json.loads(second.stdout)["queries"]
    assert sum(map(tensor_count, ours.seen)) == 50 + 1 + total - known


def dying(after: int, said: Said) -> Server:
    """Answers some requests as our network, and then all others in another way."""
    whole = oip(network(0), SHAPE)
    inferences = 0

    def answer(seen: Seen) -> Said:
        nonlocal inferences
        inferences += seen.method == "POST"
        return said if inferences > after else whole(seen)

    return Server(answer)


@pytest.mark.parametrize(
    ("after", "code"), [(0, 5), (1, 5), (5, 4)], ids=["at once", "after a trial", "on the way"]
)
@pytest.mark.parametrize(
    "said", [Said(status=500), Said(body=b"<html>"), Said(status=401), Said(raw=b"")]
)
def test_no_answer_at_all_is_5_and_too_few_are_4(fp: Fp, after: int, code: int, said: Said) -> None:
    with dying(after, said) as server:
        result = fp(
            *(server.url + MODEL, "--adapter", "oip", "--forbid", "ours"),
            *("--tries", "1", "--concurrency", "1"),
        )
    assert result.exit_code == code
    assert "Traceback" not in result.stderr
    assert result.stdout == "" or "Verdict: inconclusive" in result.stdout


def test_a_service_that_refuses_now_and_then_is_told_of(fp: Fp) -> None:
    whole = oip(network(0), SHAPE)
    inferences = 0

    def answer(seen: Seen) -> Said:
        nonlocal inferences
        inferences += seen.method == "POST"
        return Said(status=422) if inferences == 3 else whole(seen)

    with Server(answer) as server:
        result = fp(server.url + MODEL, "--adapter", "oip", "--concurrency", "1", "--json")
    assert "warning: 8 of " in result.stderr
    assert "8 of" in json.loads(result.stdout)["warnings"][-1]


def test_a_token_is_sent_and_shown_nowhere(
    fp: Fp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: Path
) -> None:
    token = "t0p-s3cr3t"
    monkeypatch.setenv("OUR_TOKEN", token)
    whole = oip(network(0), SHAPE)

    def echoing(seen: Seen) -> Said:
        if seen.method == "GET":
            return whole(seen)
        said = whole(seen)
        many = len(server.seen) > 20
        return Said(status=500, json={"error": token}) if many else said

    with Server(echoing) as server:
        result = fp(
            *(server.url + MODEL, "--adapter", "oip", "--token-env", "OUR_TOKEN", "--json"),
            *("--journal", tmp_path / "journal", "--tries", "1"),
        )
    assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {token}"}
    told = (result.stdout, result.stderr, (tmp_path / "journal").read_text())
    assert not [text for text in told if token in text]
    assert token.encode() not in database.read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("https://host/v2/models/a",), 2, "--adapter"),
        (("https://host/v2/models/a", "--adapter", "soap"), 2, "generic:FILE"),
        (("file:///etc/passwd", "--adapter", "oip"), 2, "https://"),
        (("https://me:pw@host/v2/models/a", "--adapter", "oip"), 2, "--token-env"),
        (("https://host/v2/models/a", "--adapter", "oip", "--arch", "timm:x"), 2, "--arch"),
        (("https://host/v2/models/a", "--adapter", "oip", "--token-env", "NONE"), 2, "NONE"),
        (("suspect.pt", "--adapter", "oip"), 2, "--adapter"),
        (("suspect.pt", "--dry-run"), 2, "https://"),
        (("https://host/v2/models/a", "--adapter", "oip", "--input", "x"), 2, "--input"),
        (("suspect.pt", "--tries", "9"), 2, "https://"),
        (("https://host/v1", "--adapter", "oip"), 2, "/v2/models/NAME"),
        (("https://host/", "--adapter", "huggingface", "--per-request", "2"), 2, "one input"),
        (("https://host/", "--adapter", "mlflow", "--timeout", "0"), 2, "timeout"),
        (("https://host/", "--adapter", "mlflow", "--labels", "none.txt"), 2, "none.txt"),
        (("https://nobody.invalid/", "--adapter", "mlflow"), 5, "nobody.invalid"),
        (("http://127.0.0.1:9/", "--adapter", "mlflow", "--tries", "1"), 5, "cannot connect"),
        (("http://93.184.215.14/", "--adapter", "mlflow"), 3, "expected https"),
    ],
)
def test_a_call_that_cannot_be_is_refused_in_one_line(
    fp: Fp, arguments: tuple[str, ...], code: int, said: str
) -> None:
    result = fp(*arguments)
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert "pw" not in result.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "169.254.169.254", "[::ffff:10.0.0.1]", "[fd00::1]"])
def test_an_address_inside_is_asked_only_if_that_is_said(database: Path, host: str) -> None:
    arguments = ["verify", f"https://{host}/", "--adapter", "mlflow", "--registry", str(database)]
    result = CliRunner().invoke(app, arguments, prog_name="fp")
    assert result.exit_code == 3
    assert "--allow-private" in result.stderr
