"""A verdict as one page that an auditor can read alone.

::

    dossier = registry.dossier(17)                  # what the registry holds of a verdict
    page(view_of(dossier, made="2026-01-31T12:00:00Z"))    # HTML

Gathering reads the registry; the view is pure and holds every word and number that is shown; the
page adds drawings and HTML, and knows nothing else.
"""
