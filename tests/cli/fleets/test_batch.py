"""One command for many models: what is run for each, and what is said of all."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.fleets import scheduling
from cli.fleets.jobs import Ended, Job, Row, row_of
from cli.main import app
from registry import Registry

Answer = Callable[[Job], Ended]


def _verdict(job: Job) -> Ended:
    found = {"verdict": "independent", "best": None, "reason": "far", "name": job.name}
    return Ended(code=0, out=json.dumps(found).encode(), seconds=1.0)


class Ran:
    """What was run, and what comes of it."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.answer: Answer = _verdict

    def rows(self, jobs: Sequence[Job]) -> Iterator[Row]:
        for job in jobs:
            self.jobs.append(job)
            yield row_of(job, self.answer(job))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Stands in for processes: models are not loaded here."""
    found = Ran()

    @contextmanager
    def runs() -> Iterator[scheduling.Run]:
        yield found.rows

    monkeypatch.setattr(scheduling, "one_by_one", runs)
    return found


@pytest.fixture(scope="module")
def empty_registry(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("registry") / "audit.db"
    Registry(path).close()
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("a.pt", "b.pt", "notes.txt"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.fixture
def fp(empty_registry: Path) -> Callable[..., Any]:
    def run(*arguments: object) -> Any:
        words = [*map(str, arguments), "--workers", "1", "--registry", str(empty_registry)]
        return CliRunner().invoke(app, words, prog_name="fp")

    return run


def test_each_model_gets_the_options_of_the_command(fp: Any, ran: Ran, models: Path) -> None:
    pictures = models.parent / "pictures"
    done = fp("register", "--each", models, "--arch", "timm:resnet18", "--probes", "8",
              "--data", pictures, "--limit-each", "60", "--reference")  # fmt: skip
    assert done.exit_code == 0
    assert [job.model for job in ran.jobs] == [str(models / "a.pt"), str(models / "b.pt")]
    (words,) = {job.words[:-1] for job in ran.jobs}
    expected = {"--arch=timm:resnet18", "--probes=8", f"--data={pictures}", "--reference"}
    assert set(words) == expected
    assert [job.words[-1] for job in ran.jobs] == ["--name=a", "--name=b"]
    assert {job.seconds for job in ran.jobs} == {60}
    assert "notes.txt" in done.stderr
    assert "2 of 2" in done.stderr


def test_what_a_list_says_of_one_model_comes_behind(fp: Any, ran: Ran, models: Path) -> None:
    path = models / "list.jsonl"
    lines = [
        {"model": "a.pt", "arch": "timm:resnet34", "input_size": [3, 64, 64]},
        {"model": "b.pt", "from-scratch": True},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert fp("register", "--list", path, "--arch", "timm:resnet18").exit_code == 0
    first, second = (job.words for job in ran.jobs)
    assert first == (
        "--arch=timm:resnet18", "--arch=timm:resnet34", "--input-size=3,64,64", "--name=a",
    )  # fmt: skip
    assert second == ("--arch=timm:resnet18", "--from-scratch", "--name=b")


def test_parents_come_before_their_children(fp: Any, ran: Ran, models: Path) -> None:
    (models / "list.csv").write_text("model,name,parent\na.pt,child,base\nb.pt,base,\n")
    assert fp("register", "--list", models / "list.csv").exit_code == 0
    assert [(job.name, job.after) for job in ran.jobs] == [("base", ()), ("child", ("base",))]


def test_several_policies_are_several_words(fp: Any, ran: Ran, models: Path) -> None:
    with_two = '{"model": "a.pt", "mean": [0.1, 0.2]}'
    (models / "list.jsonl").write_text(with_two)
    assert fp("verify", "--list", models / "list.jsonl", "--black-box").exit_code == 0
    assert ran.jobs[0].words == ("--black-box", "--mean=0.1,0.2")
    assert ran.jobs[0].line[-3:] == ("--json", "--", str(models / "a.pt"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("model,colour\na.pt,red\n", "colour: no option of one model"),
        ("model,workers\na.pt,3\n", "workers: no option of one model"),
        ("model,probes\na.pt,many\n", "--probes"),
        ("model,name\na.pt,x\nb.pt,x\n", "both be called x"),
        ("model,name,parent\na.pt,x,y\nb.pt,y,x\n", "come from each other"),
        ("model,parent\na.pt,nobody\n", "nobody"),
    ],
)
def test_a_mistake_in_a_list_is_told_before_any_model_is_begun(
    fp: Any, ran: Ran, models: Path, table: str, said: str
) -> None:
    (models / "list.csv").write_text(table)
    done = fp("register", "--list", models / "list.csv")
    assert done.exit_code == 2
    assert said in done.stderr
    assert not ran.jobs


@pytest.mark.parametrize(
    "words",
    [
        ("register", "--each", ".", "x.pt"),
        ("register", "--each", ".", "--name", "x"),
        ("register", "--each", ".", "--again", "x"),
        ("register", "--each", ".", "--list", "x.csv"),
        ("register", "--each", ".", "--scheduler", "tcp://127.0.0.1:1"),
        ("register", "x.pt"),
        ("verify",),
        ("verify", "--each", ".", "--report", "x.html"),
        ("verify", "--each", ".", "--format", "junit"),
        ("verify", "--each", ".", "--against", "nobody"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_usage(fp: Any, ran: Ran, words: tuple[str, ...]) -> None:
    done = fp(*words)
    assert done.exit_code == 2
    assert done.stderr.startswith("fp: error:")
    assert len(done.stderr.splitlines()) == 1
    assert not ran.jobs


def test_one_model_that_fails_is_a_row_and_the_worst_code_that_of_all(
    fp: Any, ran: Ran, models: Path
) -> None:
    refused = Ended(code=3, err="fp: error: no weights\n")
    ran.answer = lambda job: refused if job.name == "a.pt" else _verdict(job)
    done = fp("verify", "--each", models, "--json")
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["counts"] == {"refused": 1, "independent": 1}
    assert [row["outcome"] for row in document["models"]] == ["refused", "independent"]
    assert document["models"][0]["reason"] == "no weights"
    assert document["models"][1]["result"]["verdict"] == "independent"
    assert document["left_out"] == ["notes.txt"]


def test_people_are_shown_a_table(fp: Any, ran: Ran, models: Path) -> None:
    done = fp("verify", "--each", models)
    assert "a.pt" in done.stdout
    assert "2 independent" in done.stdout.splitlines()[-1]


def test_a_second_run_asks_what_is_missing(fp: Any, ran: Ran, models: Path, tmp_path: Path) -> None:
    journal = tmp_path / "verdicts.jsonl"
    failed = Ended(code=None)
    ran.answer = lambda job: failed if job.name == "a.pt" else _verdict(job)
    assert fp("verify", "--each", models, "--journal", journal).exit_code == 5
    ran.answer = _verdict
    ran.jobs.clear()
    done = fp("verify", "--each", models, "--journal", journal)
    assert done.exit_code == 0
    assert [job.name for job in ran.jobs] == ["a.pt"]
    assert "1 of 2 are in the journal" in done.stderr
    assert done.stdout.splitlines()[-1].endswith("2 independent")


def test_other_bytes_or_options_are_asked_again(
    fp: Any, ran: Ran, models: Path, tmp_path: Path
) -> None:
    verify = ("verify", "--each", models, "--journal", tmp_path / "verdicts.jsonl")
    fp(*verify)
    ran.jobs.clear()
    (models / "a.pt").write_bytes(b"something else")
    fp(*verify)
    assert [job.name for job in ran.jobs] == ["a.pt"]
    fp(*verify, "--black-box")
    assert len(ran.jobs) == 3


def test_a_line_that_was_cut_short_is_dropped(
    fp: Any, ran: Ran, models: Path, tmp_path: Path
) -> None:
    journal = tmp_path / "verdicts.jsonl"
    verify = ("verify", "--each", models, "--journal", journal)
    fp(*verify)
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    ran.jobs.clear()
    assert fp(*verify).exit_code == 0
    assert [job.name for job in ran.jobs] == ["b.pt"]
    assert len(journal.read_bytes().splitlines()) == len(whole.splitlines())


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda lines: [b"{}", *lines[1:]], 2),
        (lambda lines: [lines[0], b"[]", *lines[1:]], 3),
        (lambda lines: [lines[0], lines[1].replace(b'"exit_code": 0', b'"exit_code": 5')], 3),
    ],
)
def test_another_file_is_no_journal(
    fp: Any, ran: Ran, models: Path, tmp_path: Path, change: Any, code: int
) -> None:
    journal = tmp_path / "verdicts.jsonl"
    verify = ("verify", "--each", models, "--journal", journal)
    fp(*verify)
    ran.jobs.clear()
    journal.write_bytes(b"\n".join(change(journal.read_bytes().splitlines())) + b"\n")
    done = fp(*verify)
    assert done.exit_code == code
    assert "--journal" in done.stderr
    assert not ran.jobs


def test_without_dask_models_are_done_one_after_another_and_it_is_said(
    ran: Ran, models: Path, empty_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduling, "installed", lambda: False)
    monkeypatch.setattr(scheduling, "places", lambda device: 4)
    words = ["register", "--each", str(models), "--registry", str(empty_registry)]
    done = CliRunner().invoke(app, words, prog_name="fp")
    assert done.exit_code == 0
    assert len(ran.jobs) == 2
    assert "pip install 'nullprint[fleet]'" in done.stderr
    done = CliRunner().invoke(app, [*words, "--workers", "2"], prog_name="fp")
    assert done.exit_code == 5
    assert done.stderr.splitlines()[-1] == (
        "fp: error: several models at a time need Dask; pip install 'nullprint[fleet]'"
    )
