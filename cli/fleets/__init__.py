"""Many models at once: each is one run of ``fp register`` or ``fp verify`` in a process of its own.

:mod:`~cli.fleets.choosing` says which models, :mod:`~cli.fleets.scheduling` runs them one after
another or on Dask, :mod:`~cli.fleets.nursery` is what a model can crash without harm to the rest.
"""
