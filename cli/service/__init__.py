"""``fp serve``: the registry for a team, over HTTP.

One server (:mod:`cli.service.server`) takes requests, and does no work on models itself: whoever
registers or verifies gets a job, which a process of its own does (:mod:`cli.service.child`).
Tokens, uploads and jobs are kept in a folder beside the registry (:mod:`cli.service.store`), so
that a server that was killed goes on where it was.
"""
