"""The facts of a fingerprint: what it cost."""

from __future__ import annotations

import pytest

from tests.support.extracted import fingerprint_of


def test_the_passes_of_the_pilot_and_at_each_depth_are_all_there_are(kind: str) -> None:
    fingerprint = fingerprint_of(kind)
    spent = dict(fingerprint.cost)
    del spent["seconds"]
    total = spent.pop("passes")
    assert set(spent) >= {f"passes at {depth.name}" for depth in fingerprint.depths}
    assert total == pytest.approx(sum(spent.values()))
    assert fingerprint.rough_copy_ratio is None, "it has no individual probes"
    tried = [one["passes"] for one in fingerprint.parameters["pilot"]]
    assert spent["passes of the pilot"] == pytest.approx(sum(tried))
