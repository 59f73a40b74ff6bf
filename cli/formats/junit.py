"""JUnit XML: each policy is a test case, so that CI shows which of them failed.

What nobody can conclude is an error, not a failure and not a pass; it is no skipped test either,
which pipelines take for harmless. The form is that of Jenkins' xUnit plugin (``junit-10.xsd``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from cli.errors import ExitCode
from cli.policy import Check
from fingerprint.text import clean

if TYPE_CHECKING:
    from fingerprint.verification import Verification

__all__ = ["junit"]

_TAGS = {ExitCode.POLICY_FAILED: "failure", ExitCode.INCONCLUSIVE: "error"}


def junit(result: Verification, checks: Sequence[Check], suspect: str) -> str:
    """Returns a test suite of one verification.

    Args:
        result: The verification.
        checks: What it is tested for.
        suspect: What the suspect was called on the command line.
    """
    counts = {
        f"{tag}s": str(sum(check.code is code for check in checks)) for code, tag in _TAGS.items()
    }
    seconds = f"{result.seconds:.3f}"
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        {"name": f"fp verify {clean(suspect)}", "tests": str(len(checks)), "time": seconds}
        | counts,
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in _facts(result):
        ElementTree.SubElement(properties, "property", {"name": name, "value": clean(value, 500)})
    for check in checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            {
                "name": clean(check.name),
                "classname": f"nullprint.{clean(suspect)}",
                "time": seconds,
            },
        )
        if check.code in _TAGS:
            attributes = {"message": clean(check.reason, 500), "type": result.verdict}
            ElementTree.SubElement(case, _TAGS[check.code], attributes)
        else:
            ElementTree.SubElement(case, "system-out").text = clean(check.reason, 500)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=False) + "\n"


def _facts(result: Verification) -> list[tuple[str, object]]:
    """Returns what is known of the verdict over all, by name."""
    facts: list[tuple[str, object]] = [
        ("verdict", result.verdict),
        ("best", result.best or ""),
        ("queries", result.queries),
        ("alpha", result.alpha),
    ]
    if result.commitment is not None:
        facts.append(("criteria", result.commitment.digest))
    if result.verification is not None:
        facts.append(("verification", result.verification))
    return facts
