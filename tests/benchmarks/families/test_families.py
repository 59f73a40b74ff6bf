"""Families are made once, and what may be said of their members is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.families import __main__ as runner
from benchmarks.families import large, small
from benchmarks.families.members import Family, Network, Role
from benchmarks.families.table import fault, margins, siblings
from tests.fingerprint.lab.parts import few_images, unsettled

ARCH = "fingerprint.lab.architectures:build,architecture='digits mlp'"


def _network(made: list[str], name: str, *needs: Network) -> Network:
    def make(*needed: nn.Module) -> nn.Module:
        made.append(name)
        return needed[0] if needed else unsettled("digits mlp")

    return Network(name=name, arch=ARCH, input_size=(1, 16, 16), make=make, needs=needs)


def _everybody(family: Family) -> dict[str, Network]:
    found: dict[str, Network] = {}
    waiting = [suspect.network for suspect in family.suspects]
    while waiting:
        network = waiting.pop()
        assert found.setdefault(network.name, network).make is network.make
        waiting += network.needs
    return found


def test_a_network_is_made_once_and_what_it_needs_before_it(tmp_path: Path) -> None:
    made: list[str] = []
    child = _network(made, "child", _network(made, "parent"))
    first, again = child.model(tmp_path), child.model(tmp_path)
    assert made == ["parent", "child"]
    assert first.digest == again.digest


def test_what_was_interrupted_is_not_there(tmp_path: Path) -> None:
    made: list[str] = []
    parent = _network(made, "parent")

    def interrupted(module: nn.Module) -> nn.Module:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parent.changed("stopped", interrupted).model(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["parent.safetensors"]


def test_every_family_has_every_role_and_only_strangers_lack_the_parent() -> None:
    families = [*small.families(few_images()), *large.families(few_images())]
    for family in families:
        assert {one.role for one in family.suspects} == {
            "itself", "copy", "other copy", "further", "relative", "stranger",
        }  # fmt: skip
        _everybody(family)
        for suspect in family.suspects:
            ancestors: set[str] = set()
            waiting = [suspect.network]
            while waiting:
                ancestors.add((network := waiting.pop()).name)
                waiting += network.needs
            assert (family.parent.name in ancestors) == (suspect.role != "stranger")
            of_child = suspect.role in ("itself", "copy", "other copy", "further")
            assert (family.child.name in ancestors) == of_child


@pytest.mark.parametrize(
    ("role", "verdict", "relation", "known", "alone"),
    [
        ("itself", "same", None, "", ""),
        ("copy", "derived", "descends", "", "nobody can know"),
        ("copy", "derived", "shares_origin", "not told from a sibling", ""),
        ("copy", "independent", None, "a copy is missed", "a copy is missed"),
        ("other copy", "inconclusive", None, "", ""),
        ("other copy", "derived", "descends", "", "nobody can know"),
        ("other copy", "independent", None, "kin is independent", "kin is independent"),
        ("further", "inconclusive", None, "", ""),
        ("further", "independent", None, "kin is independent", "kin is independent"),
        ("relative", "derived", "shares_origin", "a relative is accused", ""),
        ("relative", "independent", None, "", ""),
        ("relative", "same", None, "another model is the same", "another model is the same"),
        ("stranger", "derived", "shares_origin", "a stranger matches", "a stranger matches"),
        ("stranger", "inconclusive", None, "", ""),
    ],
)
def test_what_may_be_said(
    role: Role, verdict: str, relation: str | None, known: str, alone: str
) -> None:
    assert fault(role, verdict, relation, parent_known=True) == known
    assert fault(role, verdict, relation, parent_known=False) == alone


def test_relatives_are_counted_by_what_they_are_where_the_parent_is_registered() -> None:
    same = {"family": "F", "half": "reporting", "role": "relative", "relation": None}
    rows = [
        {**same, "parent": parent, "verdict": verdict, "fault": fault}
        for parent, verdict, fault in (
            ("registered", "independent", ""),
            ("registered", "derived", "a relative is accused"),
            ("not registered", "derived", ""),
        )
    ]
    last = siblings(rows).splitlines()[-1]
    assert last == "| reporting | 1 | relative | 2 | 0 | 1 | 0 | 1 | 0 | 0 | 1 |"


def test_a_childs_margin_is_shown_beside_its_farthest_copy_and_its_nearest_relative() -> None:
    same = {"family": "F", "half": "settings", "parent": "registered", "individual_margins": [0.15]}
    rows = [
        {**same, "role": role, "suspect": name, "individual": {"logits": [[ratio, 0.1, 0.9]]}}
        for role, name, ratio in (
            ("copy", "int8", 0.11),
            ("copy", "pruned", 0.12),
            ("relative", "sibling", 0.3),
            ("further", "trained on", 0.2),
            ("stranger", "other", 0.9),
        )
    ]
    rows.append({**rows[2], "parent": "not registered", "suspect": "nobody"})
    last = margins(rows).splitlines()[-1]
    assert last == (
        "| F (settings) | 0.15 | pruned | 0.12 (0.10 to 0.90) | sibling | 0.30 (0.10 to 0.90) |"
    )


def test_small_images_reach_the_large_network_enlarged_and_normalised() -> None:
    seen = large.Enlarged(nn.Identity())(torch.full((2, 3, 32, 32), 0.498))
    assert seen.shape == (2, 3, 224, 224)
    torch.testing.assert_close(seen, torch.zeros_like(seen), rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_family_of_digits_is_measured_with_and_without_its_parent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "load_data", lambda folder: few_images())
    results = tmp_path / "results.json"
    arguments = ["--work", str(tmp_path), "--only", "digits vit", "--probes", "6"]
    arguments += ["--results", str(results)]
    runner.main(arguments)
    printed = capsys.readouterr().out
    assert "digits vit 0, P is registered" in printed
    assert "digits vit 0, P is not registered" in printed
    assert printed.count("| sibling B |") == 8, "asked about every child but B"
    assert printed.count("| sibling, as gentle |") == 2
    assert printed.count("| sibling, same head |") == 4
    first = results.read_bytes()
    monkeypatch.setattr(runner, "registered", None)  # nothing is registered again
    runner.main(arguments)
    assert capsys.readouterr().out.count("measured before") == 10
    assert results.read_bytes() == first
