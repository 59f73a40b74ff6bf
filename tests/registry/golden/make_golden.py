"""Makes a registry of today's schema, to be opened by every later version.

    python -m tests.registry.golden.make_golden

Run it once, before the next migration is written, and commit the file: a golden registry that
is made again by newer code proves nothing. It holds what each table can hold: a family of two,
an alias, a measured pair, a removed model, a verdict, and the chain of it all.

``registry-0001.db`` to ``registry-0004.db`` were made so. ``release-0002`` is more: a whole
release's memory, with trained networks for digits (``networks_0002.py`` builds them), suspects,
the registry, and each command with its exit code and its JSON document of schema 1.
"""

from __future__ import annotations

from pathlib import Path

from registry import Registry
from registry.schema import HEAD
from tests.registry.conftest import put, verdict

__all__ = ["golden_path"]


def golden_path(revision: str) -> Path:
    return Path(__file__).with_name(f"registry-{revision}.db")


if __name__ == "__main__":
    with Registry(golden_path(HEAD)) as registry:
        put(registry, "source", 0)
        put(registry, "fine-tuned", 1, parent="source")
        put(registry, "another name", 0)
        put(registry, "stranger", 2, asked={"source": 0.9}, from_scratch=True)
        put(registry, "removed", 3)
        registry.remove("removed")
        registry.record(verdict(), suspect_digest="ab" * 32)
