"""What the weights say of one candidate: a value with a verdict of its own, beside the answers'."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fingerprint.weights.comparison import Comparison

__all__ = ["WeightsFinding", "WeightsVerdict", "judged", "not_compared"]

WeightsVerdict = Literal["same", "shared", "not_found", "undecided", "not_compared"]

_VERDICTS: dict[str, WeightsVerdict] = {
    "same": "same",
    "shared": "shared",
    "not_found": "not_found",
    "undecided": "undecided",
    "not_compared": "not_compared",
}


@dataclass(frozen=True, kw_only=True)
class WeightsFinding:
    """What comparing a suspect's weights with a registered model's gave.

    Attributes:
        name: The registered model.
        verdict: ``same`` (every weight equal), ``shared`` (units correspond as those of strangers
            do not: one descends from the other, or both from a third, a common random start or
            layers that both took from somewhere included), ``not_found`` (they were
            compared with enough units, and nothing shared was found, which a thorough disguise
            brings about as well), ``undecided`` (too few units), or ``not_compared``.
        reason: One sentence: why.
        p_value: Corrected over layers and over the candidates that were compared.
        share: Share of the tested units that agree.
        units: How many were tested.
        agree: How many agree.
        layers: How many layers of the candidate were paired with one of the suspect.
        of_layers: How many affine layers the candidate has.
        rotated: Whether a rotation was undone first.
        detail: More for the report, plain JSON values: each layer.
    """

    name: str
    verdict: WeightsVerdict
    reason: str
    p_value: float | None = None
    share: float | None = None
    units: int = 0
    agree: int = 0
    layers: int = 0
    of_layers: int = 0
    rotated: bool = False
    detail: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Returns plain JSON values."""
        return {**vars(self), "detail": dict(self.detail)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WeightsFinding:
        """Builds a finding from :meth:`to_dict`'s values."""
        p_value, share = values["p_value"], values["share"]
        return cls(
            name=str(values["name"]),
            verdict=_VERDICTS[values["verdict"]],
            reason=str(values["reason"]),
            p_value=None if p_value is None else float(p_value),
            share=None if share is None else float(share),
            units=int(values["units"]),
            agree=int(values["agree"]),
            layers=int(values["layers"]),
            of_layers=int(values["of_layers"]),
            rotated=bool(values["rotated"]),
            detail=dict(values["detail"]),
        )


def not_compared(name: str, reason: str) -> WeightsFinding:
    """Returns the finding of a candidate whose weights are not at hand."""
    return WeightsFinding(name=name, verdict="not_compared", reason=reason)


def judged(
    name: str, found: Comparison, *, same: bool, alpha: float, candidates: int = 1
) -> WeightsFinding:
    """Judges a comparison.

    Args:
        name: The candidate.
        found: What was compared, the candidate's layers first.
        same: Whether both have the same digest of all weights.
        alpha: Accepted rate of false claims, over all candidates together.
        candidates: How many candidates were compared.
    """
    p = None if found.p_value is None else min(1.0, candidates * found.p_value)
    counted = f"{found.agree} of {found.units} tested units agree"
    verdict: WeightsVerdict
    if same:
        verdict, reason = "same", "every weight is equal"
    elif p is not None and p < alpha:
        verdict = "shared"
        reason = (
            f"{counted}, most of those in {found.carried} of {found.tested} tested layers: "
            "they have one source, be it only a random start"
        )
    elif found.least_p is None or candidates * found.least_p >= alpha:
        verdict, reason = "undecided", "too few units could be paired and told apart"
    else:
        verdict, reason = "not_found", f"{counted}, no more than those of strangers may"
    return WeightsFinding(
        name=name,
        verdict=verdict,
        reason=reason,
        p_value=p,
        share=found.share,
        units=found.units,
        agree=found.agree,
        layers=len(found.layers),
        of_layers=found.ours,
        rotated=found.rotated,
        detail={"layers": [layer.to_dict() for layer in found.layers]},
    )
