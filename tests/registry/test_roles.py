"""Roles of a real server: a reader registers nothing, and a registrar removes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from safetensors.torch import save_file
from sqlalchemy import make_url
from typer.testing import CliRunner

from cli.main import app
from fingerprint.errors import UsageError
from registry import (
    Registry,
    RegistryError,
    RegistryReadOnly,
    RegistryUnavailable,
    upgrade_registry,
)
from registry.registration import finished
from tests.registry.conftest import postgresql_only, put, sqlite_only
from tests.registry.places import Place, execute
from tests.registry.test_upgrade import put_golden
from tests.support.fingerprints import make_fingerprint, make_model
from tests.support.postgresql import Server

READER, REGISTRAR, OWNER = 'rea"der %s', "registrar", "keeper"


@pytest.fixture(scope="module")
def roles(server: Server) -> Server:
    """A server with a role for each of them, none of which may do anything yet."""
    for role in (READER, REGISTRAR, OWNER):
        quoted = role.replace('"', '""')
        server.run("psql", "-qc", f'CREATE ROLE "{quoted}" LOGIN', "postgres")
    return server


def as_(role: str, place: Place) -> str:
    """Returns the URL of a registry as a role opens it."""
    return make_url(str(place)).set(username=role).render_as_string(hide_password=False)


@pytest.fixture
def shared(place: Place, roles: Server) -> str:
    """A registry of ``keeper``, who lets one role read it and one register in it."""
    execute(place, "GRANT ALL ON SCHEMA public TO keeper")
    with Registry(as_(OWNER, place)) as registry:
        put(registry, "source", 0)
        put(registry, "derived", 1, parent="source")
        put(registry, "second name", 0)
        registry.grant(READER, "read")
        registry.grant(REGISTRAR, "register")
    return str(place)


def refused(kind: type[RegistryError], call: Callable[[], object], match: str) -> None:
    with pytest.raises(kind, match=match) as refusal:
        call()
    assert "\n" not in str(refusal.value)


@postgresql_only
def test_a_reader_sees_everything_and_changes_nothing(shared: str) -> None:
    with Registry(as_(READER, shared)) as registry, Registry(as_(OWNER, shared)) as owner:
        assert registry.read_only
        assert registry.models() == owner.models()
        registry.check(head=owner.head())
        before = owner.head()
        result = registry.verify(make_model(9))
        assert result.verification is None
        assert "the registry is read-only: nothing was recorded" in result.warnings
        calls: tuple[Callable[[], object], ...] = (
            lambda: registry.plan(make_model(2), name="new"),
            lambda: registry.remove("derived"),
            registry.mend,
            lambda: registry.grant(READER, "register"),
            lambda: registry.relocate("."),
        )
        for call in calls:
            refused(RegistryReadOnly, call, "lets you read it only")
        # Not because the program is kind: the server keeps it to that.
        registry.read_only = False
        for call in (lambda: registry.remove("derived"), lambda: put(registry, "new", 2)):
            refused(RegistryUnavailable, call, "permission denied")
        assert owner.head() == before


@postgresql_only
def test_a_registrar_registers_and_records_and_removes_nothing(shared: str) -> None:
    with Registry(as_(REGISTRAR, shared)) as registry:
        put(registry, "new", 2, asked={"source": 0.9})
        put(registry, "third name", 0)
        put(registry, "new", 2, from_scratch=True)
        assert registry.verify(make_model(9)).verification == 1
        task = registry.plan(make_model(0), again="source")
        made = make_fingerprint(make_model(0), seed=registry.seed, probes=7)
        registry.commit(finished(task, make_model(0), made))
        assert registry.model("source").probes == 7
        registry.check()
        before = registry.head()
        for name in ("derived", "second name"):
            refused(RegistryUnavailable, lambda: registry.remove(name), "permission denied")  # noqa: B023
        assert registry.head() == before
        assert len(registry.models()) == 3


@postgresql_only
def test_a_registrar_cannot_change_what_stands_in_the_chain(shared: str) -> None:
    for statement in ("DELETE FROM chain", "UPDATE chain SET created = 'x'"):
        with pytest.raises(Exception, match="permission denied for table chain"):
            as_role(shared, REGISTRAR, statement)


def as_role(place: str, role: str, statement: str) -> None:
    from registry.engine import connect_to, locate

    with connect_to(locate(as_(role, place))).begin() as connection:
        connection.exec_driver_sql(statement)


@postgresql_only
def test_what_was_granted_is_taken_back(shared: str) -> None:
    with Registry(as_(OWNER, shared)) as registry:
        registry.grant(REGISTRAR, "read")
        with Registry(as_(REGISTRAR, shared)) as narrowed:
            assert narrowed.read_only
        registry.grant(REGISTRAR, "nothing")
    refused(RegistryUnavailable, lambda: Registry(as_(REGISTRAR, shared)), "fp registry grant")


@postgresql_only
def test_only_the_owner_grants_and_only_to_roles_that_are_there(shared: str) -> None:
    with Registry(as_(REGISTRAR, shared)) as registry:
        refused(RegistryUnavailable, lambda: registry.grant(READER, "register"), "owner keeper")
    with Registry(as_(OWNER, shared)) as registry:
        with pytest.raises(UsageError, match="CREATE ROLE"):
            registry.grant("nobody here", "read")
        with pytest.raises(UsageError, match="owns the registry"):
            registry.grant(OWNER, "nothing")


@sqlite_only
def test_a_file_has_no_roles(registry: Registry) -> None:
    with pytest.raises(UsageError, match="permissions"):
        registry.grant("alice", "read")


@postgresql_only
def test_an_upgrade_leaves_everybody_what_they_may_do(place: Place, roles: Server) -> None:
    put_golden("0003", place)
    execute(place, f"GRANT SELECT, INSERT ON chain TO {REGISTRAR}")
    refused(RegistryError, lambda: upgrade_registry(as_(REGISTRAR, place)), "may do it")
    assert upgrade_registry(place) == "0003"
    with Registry(as_(REGISTRAR, place)) as registry:
        assert not registry.read_only
        put(registry, "new", 5)
        registry.verify(make_model(9))


@postgresql_only
def test_the_command_line_grants_and_says_in_one_line_who_may_not(
    shared: str, tmp_path: Any
) -> None:
    def fp(role: str, *words: str) -> Any:
        url = as_(role, shared)
        return CliRunner().invoke(app, [*words, "--registry", url], prog_name="fp")

    file = str(tmp_path / "suspect.safetensors")
    save_file(make_model(9).module.state_dict(), file)
    options = ("--arch", "tests.support.fingerprints:small", "--input-size", "3,4,4")
    done = fp(READER, "verify", file, *options)
    assert done.exit_code in (0, 4)
    assert "nothing was recorded" in done.stderr
    for role, words, said in (
        (READER, ("register", file, *options), "lets you read it only"),
        (READER, ("remove", "derived", "--yes"), "lets you read it only"),
        (REGISTRAR, ("remove", "derived", "--yes"), "permission denied for table models"),
        (REGISTRAR, ("registry", "grant", READER, "--may", "register"), "only its owner"),
    ):
        refusal = fp(role, *words)
        (line,) = refusal.stderr.splitlines()
        assert (refusal.exit_code, refusal.stdout) == (5, "")
        assert said in line
    granted = fp(OWNER, "registry", "grant", READER, "--may", "register", "--json")
    assert granted.exit_code == 0, granted.stderr
    with Registry(as_(READER, shared)) as registry:
        assert not registry.read_only
