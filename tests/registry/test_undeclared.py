"""Relatives that nobody declared: found whoever takes part, and named once with the way out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fingerprint.probes.probe import Outline
from registry import RegisteredModel, Registry, RegistryCorrupt, Result
from registry.registration import Measured, finished
from registry.tables import ModelRow
from tests.registry.conftest import place_of, ratios, tamper
from tests.support.fingerprints import make_fingerprint, make_model

Rows = NDArray[np.float32]


def rows(seed: int, *, like: Rows | None = None, classes: int = 5) -> Rows:
    """Answers to a panel: random ones, or near to others."""
    drawn = np.random.default_rng(seed).normal(size=(96, classes)).astype(np.float32)
    return drawn if like is None else like + np.float32(0.2) * drawn


BASE = rows(0)


def result(
    registry: Registry,
    name: str,
    answers: Rows,
    *,
    related: dict[str, float] | None = None,
    not_told: tuple[str, ...] = (),
    path: str | None = "/m/net.pt",
    **options: Any,
) -> Result:
    """Plans a registration, and says what came of it: answers to the panel, and harm ratios."""
    number = int(abs(float(answers[0, 0])) * 1e6)
    model = make_model(number, path=path, classes=answers.shape[1])
    task = registry.plan(model, name=name, **options)
    made = make_fingerprint(model, seed=registry.seed)
    fingerprint = replace(
        made,
        panel_answers=answers,
        parameters={**made.parameters, "not_told_from": list(not_told)},
    )
    numbers = {peer.name: peer.id for peer in task.ask}
    pairs = [
        Measured(source=numbers[other], other=None, ratios=ratios(value), verdict="derived")
        for other, value in (related or {}).items()
    ]
    return finished(task, model, fingerprint, pairs=pairs)


def registered(registry: Registry, *arguments: Any, **options: Any) -> RegisteredModel:
    return registry.commit(result(registry, *arguments, **options))


def test_an_undeclared_public_parent_is_named_with_the_command(registry: Registry) -> None:
    registered(registry, "public", BASE, reference=True)
    registered(registry, "stranger", rows(1))
    (line,) = registered(registry, "my tuned", rows(2, like=BASE)).warnings
    assert line.startswith("'my tuned' and 'public' look related (resemblance 0.9")
    assert line.endswith(
        "declare it: fp register --again 'my tuned' --arch live:Sequential --parent public"
    )


def test_one_relative_gives_one_line_whatever_gives_it_away(registry: Registry) -> None:
    registered(registry, "base", BASE)
    (line,) = registered(
        registry, "tuned", rows(2, like=BASE), related={"base": 0.12}, not_told=("base",)
    ).warnings
    assert "harm ratio 0.12; probes of one act on the other as well)" in line
    assert "--again tuned --arch live:Sequential --parent base or fp register --again base" in line
    assert line.endswith("; until then the margin of 'base' stays at 0.12 at most")


def test_harm_ratios_alone_are_enough(registry: Registry) -> None:
    registered(registry, "base", BASE)
    (line,) = registered(registry, "tuned", rows(2), related={"base": 0.12}).warnings
    assert "look related (harm ratio 0.12)" in line


def test_of_a_family_the_nearest_is_named_and_the_others_counted(registry: Registry) -> None:
    registered(registry, "base", BASE)
    for seed, name in ((1, "near"), (2, "also")):
        registered(registry, name, rows(seed, like=BASE), parent="base")
    (line,) = registered(registry, "new", BASE * 1.5).warnings
    assert line.startswith("'new' and 'base' look related (resemblance 1.00")
    assert "; 2 more of its family too)" in line


@pytest.mark.parametrize("again", [False, True])
def test_declared_kin_are_not_named(registry: Registry, again: bool) -> None:
    registered(registry, "base", BASE)
    if again:
        assert registered(registry, "tuned", rows(2, like=BASE)).warnings
    options = {"again": "tuned"} if again else {}
    name = None if again else "tuned"
    found = registered(registry, name, rows(2, like=BASE), parent="base", **options)
    assert (found.name, found.parent, found.warnings) == ("tuned", "base", ())


def test_a_parent_that_comes_later_is_named_to_the_child(registry: Registry) -> None:
    registered(registry, "tuned", rows(2, like=BASE), path=None)
    (line,) = registered(registry, "public", BASE, reference=True).warnings
    assert line.endswith("declare it: fp register --again tuned FILE --parent public")


def test_strangers_other_panels_and_other_inputs_are_not_named(
    registry: Registry, tmp_path: Path
) -> None:
    registered(registry, "stranger", rows(1))
    registered(registry, "short", BASE[:40])
    with Registry("sqlite://") as elsewhere:
        registered(elsewhere, "theirs", BASE)
        file = tmp_path / "theirs"
        elsewhere.export_model("theirs", file)
    registry.import_model(file)
    assert registered(registry, "new", rows(2, like=BASE)).warnings == ()


def test_who_was_registered_meanwhile_is_compared_too(registry: Registry) -> None:
    planned = result(registry, "tuned", rows(2, like=BASE))
    registered(registry, "public", BASE, reference=True)
    stored = registry.commit(planned)
    assert len(stored.warnings) == 1
    assert registry.commit(planned) == stored
    registry.check()


def test_after_a_few_families_the_rest_is_counted(registry: Registry) -> None:
    for seed in range(1, 8):
        registered(registry, f"m{seed}", rows(seed, like=BASE))
    lines = registered(registry, "new", BASE).warnings
    assert len(lines) == 6
    assert lines[-1] == "2 more families look related to 'new'"


def test_a_row_that_was_changed_stops_the_commit(registry: Registry) -> None:
    registered(registry, "base", BASE)
    planned = result(registry, "tuned", rows(2, like=BASE))
    tamper(registry, "UPDATE probe_sets SET blob = x'00'")
    with pytest.raises(RegistryCorrupt, match="probe_sets 1"):
        registry.commit(planned)


def test_a_process_that_registers_many_reads_each_once_and_names_the_same(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from registry import ledger, records

    looked: list[int] = []
    hashed: list[str] = []
    outline, digest = records.outline_of, ledger.row_digest

    def looking(row: ModelRow, *rest: Any) -> Outline:
        looked.append(row.id)
        return outline(row, *rest)

    def hashing(values: Mapping[str, Any]) -> str:
        hashed.append(str(values.get("name")))
        return digest(values)

    planned = [result(registry, f"m{seed}", rows(seed)) for seed in range(1, 7)]
    relative = result(registry, "relative", rows(9, like=rows(3)))
    monkeypatch.setattr("registry.catalogue.outline_of", looking)
    monkeypatch.setattr(ledger, "row_digest", hashing)
    for one in planned:
        assert registry.commit(one).warnings == ()
    assert looked == [1, 2, 3, 4, 5]
    # Once when it is written, once when it is first compared with the chain.
    assert [hashed.count(f"m{seed}") for seed in range(1, 7)] == [2, 2, 2, 2, 2, 1]
    (line,) = registry.commit(relative).warnings
    assert line.startswith("'relative' and 'm3' look related (resemblance")
    assert looked == [1, 2, 3, 4, 5, 6, 3], "a relative's answers are read again, in full"
    registry.check()


def test_what_is_removed_renewed_or_comes_in_from_outside_is_seen(registry: Registry) -> None:
    for seed in range(1, 4):
        registered(registry, f"m{seed}", rows(seed))
    with Registry(place_of(registry)) as another:
        another.remove("m2")
        registered(another, "m9", rows(9))
    (line,) = registered(registry, "relative", rows(10, like=rows(9))).warnings
    assert "'m9'" in line
    assert registered(registry, "no relative", rows(11, like=rows(2))).warnings == ()
    planned = result(registry, "last", rows(12))
    tamper(registry, "DELETE FROM chain WHERE seq = (SELECT max(seq) FROM chain)")
    with pytest.raises(RegistryCorrupt, match="is not the recorded end"):
        registry.commit(planned)


def test_a_model_that_is_gone_without_an_entry_stops_the_next_one(registry: Registry) -> None:
    registered(registry, "m1", rows(1))
    registered(registry, "m2", rows(2))
    planned = result(registry, "m3", rows(3))
    tamper(registry, "DELETE FROM models WHERE id = 1")
    with pytest.raises(RegistryCorrupt, match=r"models 1 .*missing"):
        registry.commit(planned)
