"""Makes a registry of an old schema, to be opened by every later version.

    python -m tests.registry.golden.make_golden 0001

Run it once, before the next migration is written, and commit the file: a golden registry that
is made again by newer code proves nothing. It holds what each table can hold: a family of two,
a removed model, a verdict, and the chain of it all.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fingerprint.canonical import utc_now
from fingerprint.evidence.finding import Finding
from fingerprint.verification import Candidate, Verification
from registry.changes import add_model, add_verification, forget_model
from registry.engine import WRITE, connect_to, locate
from registry.records import pack
from registry.session import reading, writing
from registry.tables import SettingRow
from registry.upgrade import migrate
from tests.support.fingerprints import make_fingerprint, make_model

__all__ = ["golden_path", "make"]


def golden_path(revision: str) -> Path:
    return Path(__file__).with_name(f"registry-{revision}.db")


def make(path: Path, revision: str) -> None:
    """Creates the registry at ``path``, which must not exist."""
    engine = connect_to(locate(path))
    with engine.execution_options(**WRITE).begin() as connection:
        migrate(connection, to=revision)
    with reading(engine, str(path)) as session:
        setting = session.get(SettingRow, "seed")
        assert setting is not None
        seed = setting.value
    with writing(engine, str(path)) as session:
        for index, (name, parent) in enumerate(
            [("source", None), ("fine-tuned", "source"), ("removed", None)]
        ):
            model = make_model(index, path=f"/models/{name}.safetensors")
            fingerprint = make_fingerprint(model, seed=seed)
            add_model(
                session,
                pack(fingerprint, model, created=utc_now()),
                fingerprint,
                model,
                name=name,
                parent=parent,
                warnings=(),
                screenings=(),
                seed=seed,
            )
        forget_model(session, "removed", seed=seed)
        add_verification(session, verdict(), suspect_digest="ab" * 32, seed=seed)


def verdict() -> Verification:
    candidate = Candidate(
        name="source",
        verdict="derived",
        reason="the interval lies below the margin",
        harm_ratio=0.3,
        harm_ratio_ci=(0.2, 0.4),
        p_value=1e-5,
        margin=0.7,
        margin_source="default",
        answer_kind="logits",
        label_agreement=0.75,
        findings=(Finding(test="harm_ratio", depth="network", statistic=0.3, used=4),),
    )
    return Verification(
        suspect={"architecture": "live:Sequential"},
        verdict="derived",
        reason="the interval lies below the margin",
        best="source",
        queries=54,
        candidates=(candidate,),
    )


if __name__ == "__main__":
    make(golden_path(sys.argv[1]), sys.argv[1])
