"""What the page on pipelines shows can be typed as it stands."""

from __future__ import annotations

import ast
import re

import pytest
import yaml

from tests.pipelines.registered import ROOT

PAGE = (ROOT / "docs" / "pipelines.md").read_text()


def test_its_python_parses_and_its_yaml_is_that_of_the_examples() -> None:
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        ast.parse(code)
    action, hook = (
        yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    )
    inputs = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    assert set(action[0]["with"]) <= set(inputs)
    example = yaml.safe_load((ROOT / "examples" / "pre-commit-config.yaml").read_text())
    assert hook == example["repos"]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"examples/[\w.-]+\w", PAGE))))
def test_every_example_that_it_names_is_there(path: str) -> None:
    assert (ROOT / path).is_file()
