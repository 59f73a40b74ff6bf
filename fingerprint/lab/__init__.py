"""Small networks, how they are trained, and what happens to a network after it leaves its owner.

    source = trained(networks.cnn, digits(), seed=0)
    suspect = quantised(source, bits=4)

The demo, the tests and the benchmarks measure on these; registration simulates derivatives with
the same quantiser and pruner. Nothing here is needed to load, register or verify a model of
your own.
"""

from __future__ import annotations

__all__: list[str] = []
