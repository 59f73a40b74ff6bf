"""Fills in what the site takes from the program itself: its commands, by typer's own generator.

A page says ``<!-- commands -->`` where they belong; `mkdocs.yml` names this file.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

_PLACE = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replaces the place by the commands; mkdocs calls it with each page."""
    return markdown.replace(_PLACE, _commands()) if _PLACE in markdown else markdown


def _commands() -> str:
    """Returns every command with its arguments, options and example, as Markdown."""
    generate = [sys.executable, "-m", "typer", "cli.main", "utils", "docs", "--name", "fp"]
    text = subprocess.run(generate, capture_output=True, text=True, check=True).stdout
    text = text.removeprefix("# `fp`\n")
    text = re.sub(r"^Example: (.+)$", r"Example: `\1`", text, flags=re.MULTILINE)
    # Lists of commands come with the beginnings of sentences, which stand in full below.
    return "\n".join(_linked(text.split("\n")))


def _linked(lines: list[str]) -> list[str]:
    """Turns the items of each list of commands into links to their sections."""
    above, listing, linked = "fp", False, []
    for line in lines:
        if found := re.fullmatch(r"#+ `(.+)`", line):
            above = found[1]
        listing = line == "**Commands**:" or (listing and not line.startswith(("#", "**")))
        item = re.match(r"\* `([^`]+)`", line) if listing else None
        if item:
            anchor = f"{above} {item[1]}".replace(" ", "-")
            linked.append(f"* [`{above} {item[1]}`](#{anchor})")
        else:
            linked.append(line)
    return linked
