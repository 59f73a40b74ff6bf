"""``fp list``: which models are registered?"""

from __future__ import annotations

from cli import options, session
from cli.bundles import bundled
from fingerprint.text import clean

__all__ = ["list_models"]


@bundled
def list_models(
    screen: options.Screen,
    *,
    registry: options.RegistryUrl = None,
) -> None:
    """List the registered models.

    Says which fingerprints are of an earlier release, and which were made before an ancestor
    was known: 'fp register --again NAME' renews them.
    """
    with session.open_registry(registry) as opened:
        models = opened.models()
    dated = [model for model in models if model.renew or not model.current]
    if dated:
        old = "1 fingerprint is" if len(dated) == 1 else f"{len(dated)} fingerprints are"
        name = clean(dated[0].name) if len(dated) == 1 else "NAME"
        screen.message(
            f"{old} old, or made without an ancestor; 'fp register --again {name}' makes it anew"
        )
    from cli import render

    document = {"schema": 2, "models": [model.to_dict() for model in models]}
    screen.data(document, render.models_table(models))
