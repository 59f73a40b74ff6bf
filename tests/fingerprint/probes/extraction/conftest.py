"""Each kind of network on digits."""

from __future__ import annotations

import pytest

_KINDS = ["cnn", "vit", "mlp"]


@pytest.fixture(params=_KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)
