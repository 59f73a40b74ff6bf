"""CycloneDX: a bill of materials of the suspect, with the models it comes of as its pedigree.

Who is *same* or *descends* is an ancestor; who shares an origin, of which nobody can say which came
first, a variant, as CycloneDX calls exactly that. Each has the verdict and its numbers as
properties; p-values are not written as confidences, which they are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fingerprint.canonical import canonical
from fingerprint.errors import EnvironmentFailure
from fingerprint.text import clean

if TYPE_CHECKING:
    from cyclonedx.model import Property
    from cyclonedx.model.component import Component

__all__ = ["bom", "require_cyclonedx"]

_FACTS = (
    "verdict",
    "relation",
    "harmRatio",
    "harmRatioInterval",
    "resemblance",
    "pValue",
    "margin",
    "marginSource",
    "answerKind",
    "reference",
    "fingerprint",
)


def require_cyclonedx() -> None:
    """Refuses to go on where the library that writes these is not installed.

    Raises:
        EnvironmentFailure: It is not, or is too old to write 1.7.
    """
    try:
        from cyclonedx.schema import SchemaVersion

        newest = SchemaVersion.V1_7
    except (ImportError, AttributeError) as error:
        raise EnvironmentFailure(
            "a bill of materials needs cyclonedx-python-lib 11.4 or newer; "
            "pip install 'nullprint[attest]'"
        ) from error
    del newest


def bom(statement: Mapping[str, Any], attestation: tuple[str, str], *, version: str) -> str:
    """Returns a bill of materials (CycloneDX 1.7, JSON) of what a statement of identity says.

    Args:
        statement: Of behavioural identity.
        attestation: Name and SHA-256 of the file in which it is signed.
        version: Of this program.

    Raises:
        EnvironmentFailure: The library that writes it is not installed.
    """
    require_cyclonedx()
    from cyclonedx.model import ExternalReference, ExternalReferenceType, XsUri
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType, Pedigree
    from cyclonedx.model.tool import Tool
    from cyclonedx.output import make_outputter
    from cyclonedx.schema import OutputFormat, SchemaVersion

    predicate, (subject,) = statement["predicate"], statement["subject"]
    claimed = [one for one in predicate["candidates"] if one["verdict"] in ("same", "derived")]
    name, digest = attestation
    model = Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=clean(subject["name"]),
        bom_ref="suspect",
        hashes=_hashes(subject["digest"].get("sha256")),
        pedigree=Pedigree(
            ancestors=[_model(one) for one in claimed if one["relation"] != "shares_origin"],
            variants=[_model(one) for one in claimed if one["relation"] == "shares_origin"],
            notes=_notes(predicate),
        ),
        external_references=[
            ExternalReference(
                type=ExternalReferenceType.ATTESTATION,
                url=XsUri(name),
                hashes=_hashes(digest),
                comment="in-toto statements of this verdict, signed (DSSE)",
            )
        ],
        properties=_properties(
            {
                "verdict": predicate["verdict"],
                "alpha": predicate["alpha"],
                "queries": predicate["queries"],
                "criteria": predicate["criteria"]["sha256"],
                "verification": predicate["record"]["verification"],
                "weights": subject["digest"].get("nullprintWeights"),
            }
        ),
    )
    document = Bom()
    document.metadata.component = model
    document.metadata.tools.tools.add(Tool(name="nullprint", version=version))
    text: str = make_outputter(document, OutputFormat.JSON, SchemaVersion.V1_7).output_as_string(
        indent=2
    )
    return text + "\n"


def _model(one: Mapping[str, Any]) -> Component:
    """Returns a registered model, with what was found of the suspect and it."""
    from cyclonedx.model.component import Component, ComponentType

    facts = {name: one[name] for name in _FACTS if name in one}
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=clean(one["name"]),
        bom_ref=f"registered:{one['digest']['nullprintWeights']}:{clean(one['name'])}",
        description=clean(one["reason"], 500),
        properties=_properties({**facts, "weights": one["digest"]["nullprintWeights"]}),
    )


def _notes(predicate: Mapping[str, Any]) -> str:
    best = f" {clean(predicate['best'])}" if predicate["best"] else ""
    return (
        f"By its answers: {predicate['verdict']}{best}. {clean(predicate['reason'], 500)}. "
        f"{len(predicate['candidates'])} registered models were compared, at a rate of false "
        f"claims of {predicate['alpha']}; of models that are not registered nothing is said."
    )


def _hashes(digest: str | None) -> list[Any]:
    from cyclonedx.model import HashAlgorithm, HashType

    return [] if digest is None else [HashType(alg=HashAlgorithm.SHA_256, content=digest)]


def _properties(facts: Mapping[str, Any]) -> list[Property]:
    """Returns what is known by name; what is not is left out."""
    from cyclonedx.model import Property

    return [
        Property(
            name=f"nullprint:{name}", value=value if isinstance(value, str) else canonical(value)
        )
        for name, value in facts.items()
        if value is not None
    ]
