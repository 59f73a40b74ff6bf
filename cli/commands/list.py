"""``fp list``: which models are registered?"""

from __future__ import annotations

from cli import options, session
from cli.bundles import bundled

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
    from cli import render

    document = {"schema": 2, "models": [model.to_dict() for model in models]}
    screen.data(document, render.models_table(models))
