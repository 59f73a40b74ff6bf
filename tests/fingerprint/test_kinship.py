"""Kin are joined by parents and by weights; relatives are those that could explain as well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fingerprint.kinship import Kinship

#      base ──┬── a ── a1 ── a2
#             └── b ── b1            copy has a's weights; alone has nobody
FAMILY = Kinship(
    parents={"a": "base", "b": "base", "a1": "a", "a2": "a1", "b1": "b"},
    digests={name: name for name in ("base", "a", "b", "a1", "a2", "b1", "alone")} | {"copy": "a"},
)


def test_parents_and_weights_join_families() -> None:
    families = FAMILY.families()
    assert families.keys() == {"base", "a", "b", "a1", "a2", "b1", "alone", "copy"}
    assert len(set(families.values())) == 2
    assert families["copy"] == families["b1"] != families["alone"]
    assert Kinship().families() == {}
    assert Kinship(parents={"child": "parent"}).families() == {"child": 0, "parent": 0}


@pytest.mark.parametrize(
    ("name", "relatives"),
    [
        ("base", set()),
        ("a", {"base", "b", "b1"}),
        ("copy", {"base", "b", "b1"}),
        ("a1", {"base", "a", "copy", "b", "b1"}),
        ("a2", {"base", "a", "copy", "a1", "b", "b1"}),
        ("alone", set()),
        ("unheard of", set()),
    ],
)
def test_relatives_are_ancestors_and_their_other_descendants(
    name: str, relatives: set[str]
) -> None:
    assert FAMILY.relatives(name) == relatives


@pytest.mark.parametrize(
    ("name", "descendants"),
    [
        ("base", {"a", "copy", "a1", "a2", "b", "b1"}),
        ("a", {"copy", "a1", "a2"}),
        ("copy", {"a", "a1", "a2"}),
        ("b1", set()),
        ("unheard of", set()),
    ],
)
def test_descendants_are_those_of_copies_as_well(name: str, descendants: set[str]) -> None:
    assert FAMILY.descendants(name) == descendants


@pytest.mark.parametrize(
    ("stated", "name", "parentless"),
    [
        ({"base"}, "base", True),
        (set(), "base", False),
        ({"a"}, "a", False),
        ({"copy"}, "copy", False),
        ({"copy"}, "a", False),
        ({"alone"}, "alone", True),
        ({"alone"}, "unheard of", False),
    ],
)
def test_a_declared_parent_outweighs_a_statement_that_there_is_none(
    stated: set[str], name: str, parentless: bool
) -> None:
    assert replace(FAMILY, from_scratch=frozenset(stated)).has_no_parent(name) is parentless


def test_what_is_stated_of_weights_is_stated_of_their_copies() -> None:
    twins = Kinship(digests={"a": "ab", "b": "ab"}, from_scratch=frozenset({"a"}))
    assert twins.has_no_parent("b")


def test_a_circle_of_parents_ends() -> None:
    circle = Kinship(parents={"a": "b", "b": "a", "c": "b"})
    assert circle.relatives("c") == {"a", "b"}
    assert circle.relatives("a") == set()
    assert circle.descendants("a") == {"b", "c"}


class Counted(dict[str, str]):
    """Counts how often it is gone through."""

    times = 0

    def items(self) -> Any:
        self.times += 1
        return super().items()


def test_whoever_is_asked_about_everyone_goes_through_everyone_once() -> None:
    parents = Counted({f"m{place}": f"m{place // 2}" for place in range(1, 64)})
    digests = Counted({f"m{place}": str(place) for place in range(64)})
    kinship = Kinship(parents=parents, digests=digests)
    for name in digests:
        assert kinship.relatives(name) | kinship.descendants(name) | {name} == set(digests)
    assert (parents.times, digests.times) == (1, 1)


def test_what_is_declared_of_one_more_model_leaves_the_others_as_they_are() -> None:
    known = Kinship(parents={"b": "a"}, digests={"a": "1", "b": "2"})
    more = known.with_model("c", digest="3", parent="a", reference=True)
    assert (dict(more.parents), more.references) == ({"b": "a", "c": "a"}, {"c"})
    assert more.relatives("c") == {"a", "b"}
    assert known.with_model("c", digest="3", from_scratch=True).has_no_parent("c")
    assert known.with_model("b") == known


def test_one_models_family_is_those_of_its_number() -> None:
    kinship = Kinship(
        parents={"b": "a", "c": "b", "e": "d", "x": "y", "y": "x", "copy": "f"},
        digests={"a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "copy": "2", "f": "6", "g": "7"},
    )
    numbers = kinship.families()
    for name, number in numbers.items():
        assert kinship.family(name) == {one for one in numbers if numbers[one] == number}
