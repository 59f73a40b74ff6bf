"""What a page shows is taken apart as its reader takes it, and compared by its words."""

from __future__ import annotations

import pytest

from tests.docs.blocks import Step, agrees, blocks, steps

PAGE = """
```console
$ fp verify a.pt \\
>     --arch timm:x
Verdict: same
$ echo $?
0
```

```python
print(1)
```

```text
1
```

```
not run
```
"""


def test_blocks_and_commands_are_found_in_order() -> None:
    assert [one.kind for one in blocks(PAGE)] == ["console", "python", "text"]
    assert steps(blocks(PAGE)[0].body) == [
        Step("fp verify a.pt \\\n    --arch timm:x", "Verdict: same"),
        Step("echo $?", "0"),
    ]


@pytest.mark.parametrize(
    ("said", "printed", "agree"),
    [
        ("ratio 0.24 [0.22, 0.27]", "ratio   0.9 [1, 2e-11]", True),
        ("wrapped\nhere", "wrapped here\n", True),
        ("a ─── b", "a ────── b", True),
        ("derived from ours", "derived from theirs", False),
        ("criteria 893dfd4a25537f41", "criteria 000000000000beef", True),
        ("2:fc8de683ca838440f3b3", "12:9ac8de683ca838440f3b", True),
        ("first ... last", "first of many words last", True),
        ("first ... last", "first of many words", False),
        ("...\nlast", "first\nsecond\nlast", True),
        ("", "something", False),
    ],
)
def test_words_are_compared_and_numbers_are_not(said: str, printed: str, agree: bool) -> None:
    assert agrees(said, printed) is agree


def test_exit_codes_are_compared_as_they_are() -> None:
    assert agrees("1", "1\n", exactly=True)
    assert not agrees("1", "0\n", exactly=True)
