from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from registry.kinship import families

NAMES = st.sampled_from("abcdefgh")


@given(st.lists(st.tuples(NAMES, NAMES), max_size=12))
def test_families_are_the_connected_components(edges: list[tuple[str, str]]) -> None:
    found = families([(name, name) for name in "abcdefgh"] + edges)
    neighbours = {name: {name} for name in "abcdefgh"}
    for one, other in edges:
        neighbours[one].add(other)
        neighbours[other].add(one)
    for start in "abcdefgh":
        reached = {start}
        for _ in range(8):
            reached = {far for near in reached for far in neighbours[near]}
        assert {name for name in found if found[name] == found[start]} == reached


def test_ancestors_siblings_and_twins_are_kin_and_strangers_are_not() -> None:
    edges: list[tuple[str, object]] = [
        ("grandparent", ("digest", 1)),
        ("parent", "grandparent"),
        ("child", "parent"),
        ("sibling", "parent"),
        ("twin", ("digest", 1)),
        ("stranger", ("digest", 2)),
    ]
    family = families(edges)
    assert len({family[name] for name in family if name != "stranger"}) == 1
    assert family["stranger"] != family["child"]


def test_a_circle_of_parents_ends() -> None:
    assert len(set(families([("a", "b"), ("b", "a"), ("c", "c")]).values())) == 2
