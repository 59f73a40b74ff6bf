"""Dossiers of one verdict, gathered once."""

from __future__ import annotations

import pytest

from registry.reports.dossier import Dossier
from tests.support.dossiers import HOSTILE, dossier_of


@pytest.fixture(scope="session")
def dossier(tmp_path_factory: pytest.TempPathFactory) -> Dossier:
    """Of a copy of ``ours``, compared with it, its child and a stranger."""
    return dossier_of(tmp_path_factory.mktemp("dossier") / "registry.db")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Dossier:
    """The same, of models and a file with names that would act in a careless page."""
    path = tmp_path_factory.mktemp("hostile") / "registry.db"
    return dossier_of(path, names=HOSTILE[:3], file=HOSTILE[0].replace("/", "") + "\x1b[2J\n")
