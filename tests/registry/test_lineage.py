"""The graph of registered models: what is declared, what was measured, and where they disagree."""

from __future__ import annotations

import json
from typing import Any

import pytest

from fingerprint.kinship import Kinship
from registry import Lineage, Pair, Registry, RegistryCorrupt, UnknownModel
from registry.lineage import lineage_of
from tests.registry.conftest import put, ratios, tamper


def kinship(*names: str, **known: Any) -> Kinship:
    """Returns models of different weights, in the order of registration."""
    return Kinship(**{"digests": {name: f"digest of {name}" for name in names}, **known})


def pair(source: str, other: str, ratio: float | None, verdict: str) -> Pair:
    return Pair(source=source, other=other, ratios=ratios(ratio), verdict=verdict)


def edges(found: Lineage, kind: str) -> list[tuple[str, str]]:
    return [(edge.source, edge.target) for edge in found.edges if edge.kind == kind]


def kinds(found: Lineage) -> list[tuple[str, str, str]]:
    return [(one.kind, one.source, one.target) for one in found.contradictions]


def test_each_parent_stands_before_its_children_in_their_generations() -> None:
    parents = {"child": "root", "grandchild": "child", "sibling": "root"}
    found = lineage_of(
        kinship("grandchild", "other", "root", "child", "sibling", parents=parents), []
    )
    assert [(node.name, node.generation) for node in found.nodes] == [
        ("other", 0),
        ("root", 0),
        ("child", 1),
        ("grandchild", 2),
        ("sibling", 1),
    ]
    assert edges(found, "declared") == [
        ("root", "child"),
        ("child", "grandchild"),
        ("root", "sibling"),
    ]
    assert all(edge.directed for edge in found.edges)
    assert found.contradictions == ()


def test_models_of_equal_weights_are_copies_of_one_generation() -> None:
    found = lineage_of(
        kinship(
            "root",
            "child",
            "copy",
            digests={"root": "0", "child": "1", "copy": "1"},
            parents={"child": "root"},
        ),
        [],
    )
    assert edges(found, "copy") == [("child", "copy")]
    assert [(node.name, node.parent, node.generation) for node in found.nodes[1:]] == [
        ("child", "root", 1),
        ("copy", "root", 1),
    ]
    assert len({node.family for node in found.nodes}) == 1


def test_a_circle_of_parents_loses_no_model() -> None:
    found = lineage_of(kinship("a", "b", "c", parents={"a": "b", "b": "a"}), [])
    assert [node.name for node in found.nodes] == ["c", "a", "b"]


@pytest.mark.parametrize(
    ("back", "mutual"),
    [(None, None), ("derived", True), ("same", True), ("inconclusive", False)],
)
def test_a_link_is_mutual_when_both_directions_say_so(
    back: str | None, mutual: bool | None
) -> None:
    pairs = [pair("b", "a", 0.4, "derived")]
    pairs += [pair("a", "b", 0.3, back)] if back is not None else []
    found = lineage_of(kinship("a", "b", parents={"b": "a"}), pairs)
    (link,) = [edge for edge in found.edges if edge.kind == "measured"]
    assert (link.source, link.target, link.directed, link.mutual) == ("a", "b", False, mutual)
    assert link.verdict == ("same" if back == "same" else "derived")
    assert link.harm_ratio == (0.3 if mutual else 0.4)


def test_independent_and_inconclusive_pairs_are_no_link() -> None:
    pairs = [pair("a", "b", 0.9, "independent"), pair("a", "c", None, "inconclusive")]
    assert lineage_of(kinship("a", "b", "c"), pairs).edges == ()


def test_a_link_between_families_is_to_be_declared_in_either_direction() -> None:
    found = lineage_of(kinship("a", "my b"), [pair("a", "my b", 0.3, "derived")])
    assert kinds(found) == [("undeclared", "a", "my b")]
    (one,) = found.contradictions
    assert "declare it: fp register --again 'my b' --parent a" in one.reason
    assert "or fp register --again a --parent 'my b'" in one.reason
    assert "if both come from a third model, declare that one as the parent of both" in one.reason


def test_only_what_is_open_is_offered_for_declaring() -> None:
    link = [pair("a", "b", 0.3, "derived")]
    (one,) = lineage_of(kinship("a", "b", "p", parents={"a": "p"}), link).contradictions
    assert "--again b --parent a; or, if both come from it, with --parent p" in one.reason
    assert "--again a" not in one.reason
    (one,) = lineage_of(kinship("a", "b", references=frozenset({"a"})), link).contradictions
    assert one.reason.endswith("declare it: fp register --again b --parent a")
    settled = kinship("a", "b", from_scratch=frozenset({"a", "b"}))
    (one,) = lineage_of(settled, link).contradictions
    assert "remove the one whose origin is declared wrongly" in one.reason


def test_a_model_from_scratch_is_not_linked_to_strangers() -> None:
    known = kinship("a", "child", "b", parents={"child": "a"}, from_scratch=frozenset({"a"}))
    pairs = [pair("a", "b", 0.3, "derived"), pair("a", "child", 0.2, "derived")]
    found = lineage_of(known, pairs)
    assert kinds(found) == [("from_scratch", "a", "b")]
    assert "'a' is stated from scratch" in found.contradictions[0].reason
    assert (
        "--again b --parent a; or, if that is wrong, remove 'a'" in found.contradictions[0].reason
    )


def test_of_links_to_a_family_the_strongest_is_to_be_declared() -> None:
    known = kinship("p", "a", "new", "far", parents={"a": "p"})
    pairs = [
        pair("p", "new", 0.3, "derived"),
        pair("a", "new", 0.2, "derived"),
        pair("new", "far", 0.4, "derived"),
        pair("p", "far", 0.5, "derived"),
    ]
    found = lineage_of(known, pairs)
    assert len(edges(found, "measured")) == 4
    assert kinds(found) == [("undeclared", "a", "new"), ("undeclared", "new", "far")]
    rootless = lineage_of(kinship("p", "a", "new", "far", from_scratch=frozenset({"p"})), pairs)
    assert ("from_scratch", "p", "far") in kinds(rootless)


def test_the_command_loads_the_model_as_it_was_registered(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.3}, verdict="derived")
    (one,) = registry.lineage().contradictions
    assert "fp register --again b --arch live:Sequential --parent a" in one.reason


def test_links_inside_a_family_contradict_nothing() -> None:
    known = kinship("p", "a", "b", parents={"a": "p", "b": "p"})
    found = lineage_of(known, [pair("a", "b", 0.3, "derived")])
    assert edges(found, "measured") == [("a", "b")]
    assert found.contradictions == ()


def test_a_child_that_does_not_look_like_its_parent_is_named() -> None:
    known = kinship("p", "a", parents={"a": "p"})
    assert kinds(lineage_of(known, [pair("p", "a", 0.95, "independent")])) == [
        ("independent", "p", "a")
    ]
    both = [pair("p", "a", 0.95, "independent"), pair("a", "p", 0.2, "derived")]
    assert kinds(lineage_of(known, both)) == []
    assert kinds(lineage_of(known, [pair("p", "a", None, "inconclusive")])) == []


def test_a_part_holds_what_is_connected_and_no_more() -> None:
    known = kinship("a", "b", "c", "d", "e", parents={"b": "a", "e": "d"})
    found = lineage_of(known, [pair("b", "c", 0.3, "derived"), pair("d", "e", 0.9, "independent")])
    part = found.part("c")
    assert {node.name for node in part.nodes} == {"a", "b", "c"}
    assert len(part.edges) == 2
    assert kinds(part) == [("undeclared", "b", "c")]
    assert kinds(found.part("e")) == [("independent", "d", "e")]


def test_the_document_is_plain() -> None:
    found = lineage_of(kinship("a", "b"), [pair("a", "b", 0.3, "derived")])
    document = found.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["edges"] == [
        {
            "kind": "measured",
            "source": "a",
            "target": "b",
            "verdict": "derived",
            "harm_ratio": 0.3,
            "mutual": None,
            "directed": False,
        }
    ]
    assert document["nodes"][0].keys() == {
        "name",
        "role",
        "model_digest",
        "from_scratch",
        "parent",
        "family",
        "generation",
    }
    assert document["contradictions"][0].keys() == {"kind", "source", "target", "reason"}


def test_a_registry_knows_the_lineage_of_its_models(family: Registry) -> None:
    put(family, "fourth", 3, asked={"other": 0.3}, verdict="derived")
    found = family.lineage()
    assert edges(found, "declared") == [("source", "derived")]
    assert edges(found, "measured") == [("other", "fourth")]
    assert [node.name for node in family.lineage("derived").nodes] == ["source", "derived"]
    with pytest.raises(UnknownModel):
        family.lineage("nobody")


def test_a_pair_measured_before_it_was_declared_kin_is_still_seen(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.95})
    put(registry, "b", 1, parent="a")
    assert kinds(registry.lineage()) == [("independent", "a", "b")]


def test_an_alias_names_its_model(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "second name", 0)
    assert [node.name for node in registry.lineage("second name").nodes] == ["a"]


def test_pairs_that_were_changed_from_outside_are_refused(registry: Registry) -> None:
    put(registry, "a", 0)
    put(registry, "b", 1, asked={"a": 0.95})
    tamper(registry, "UPDATE pairs SET verdict = 'derived'")
    with pytest.raises(RegistryCorrupt):
        registry.lineage()


def test_an_empty_registry_has_an_empty_lineage(registry: Registry) -> None:
    assert registry.lineage() == Lineage(nodes=())
