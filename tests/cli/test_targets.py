"""What a command asks is kept as plain values and reached again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.endpoints import asking_options
from cli.options import GraphOptions, ModelOptions
from cli.targets import Target


@pytest.mark.parametrize(
    "graph",
    [GraphOptions(), GraphOptions(input="x", layout="nhwc", no_sandbox=True, time_limit=60)],
    ids=["nothing", "all"],
)
def test_a_target_that_was_kept_is_the_same(graph: GraphOptions) -> None:
    how = ModelOptions(arguments={"input_size": (3, 8, 8), "device": "cpu"})
    asking = asking_options(adapter="oip", labels=Path("labels.txt"))
    target = Target("model.pt2", how, graph, asking)
    assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target
