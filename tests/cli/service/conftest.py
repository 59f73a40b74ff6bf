"""A service on a registry of three synthetic networks and one verdict; no job of it is done."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from registry import Registry
from tests.support.dossiers import HOSTILE, dossier_of

if TYPE_CHECKING:
    from cli.service.service import Service

FOLDER = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder, which are skipped where what they need is missing."""
    for item in items:
        if item.path.is_relative_to(FOLDER):
            item.add_marker(pytest.mark.service)


@pytest.fixture(autouse=True)
def _extra() -> None:
    for name in ("fastapi", "uvicorn", "limits", "matplotlib"):
        pytest.importorskip(name, reason=f"needs {name}: 'make test-service' installs it")


@pytest.fixture(scope="session")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry that services begin with; two names in it are hostile."""
    path = tmp_path_factory.mktemp("service") / "registry.db"
    dossier_of(path, names=("ours", *HOSTILE[:2]), file=HOSTILE[3] + ".pt")
    return path


@dataclass(frozen=True, kw_only=True)
class Served:
    """A service in this process.

    Attributes:
        service: What answers.
        app: The application.
        client: Asks it.
        tokens: A secret for each role.
    """

    service: Service
    app: Any
    client: Any
    tokens: dict[str, str]

    def get(self, path: str, role: str = "reader", **options: Any) -> Any:
        """Asks for something, as the holder of a role."""
        return self.client.get(path, headers=self.as_(role), **options)

    def post(self, path: str, role: str, **options: Any) -> Any:
        """Sends something, as the holder of a role."""
        return self.client.post(path, headers=self.as_(role), **options)

    def upload(
        self, role: str = "auditor", name: str = "net.safetensors", content: bytes = b"x"
    ) -> str:
        """Sends a file and returns what it is called."""
        answer = self.post(f"/v1/uploads?filename={name}", role, content=content)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def as_(self, role: str) -> dict[str, str]:
        """Returns the headers of a role's holder."""
        return {"Authorization": f"Bearer {self.tokens[role]}"}

    def actions(self) -> list[tuple[str, dict[str, Any]]]:
        """Returns what the chain says was done, oldest first."""
        return [(one.action, one.payload) for one in self.service.registry.entries()]


@pytest.fixture
def served(registered: Path, tmp_path: Path) -> Iterator[Served]:
    """A service whose jobs wait: its lifespan has not begun."""
    from starlette.testclient import TestClient

    from cli.service.app import application
    from cli.service.service import Service
    from cli.service.settings import Settings
    from cli.service.store import Store

    path = tmp_path / "registry.db"
    shutil.copy(registered, path)
    settings = Settings(registry=str(path), folder=tmp_path / "service", max_upload=4096)
    with Registry(path) as registry:
        service = Service(settings=settings, registry=registry, store=Store(settings.folder))
        tokens = {
            role: service.tokens.make(role, (role,))
            for role in ("reader", "registrar", "auditor", "admin")
        }
        app = application(service)
        client = TestClient(app, raise_server_exceptions=False)
        yield Served(service=service, app=app, client=client, tokens=tokens)


def limited(served: Served, **changes: Any) -> Served:
    """Returns the same service with other settings."""
    from starlette.testclient import TestClient

    from cli.service.app import application

    settings = replace(served.service.settings, **changes)
    service = replace(served.service, settings=settings)
    app = application(service)
    client = TestClient(app, raise_server_exceptions=False)
    return replace(served, service=service, app=app, client=client)
