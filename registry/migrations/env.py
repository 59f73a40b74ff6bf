"""Runs the migrations, either for ``registry.upgrade`` or for a developer's ``alembic``.

The library hands over its own connection, already inside a transaction, so that an upgrade
happens entirely or not at all. A developer's call (``alembic -x registry=PATH ...``) opens the
registry through the same engine.
"""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from registry.engine import connect_to, locate
from registry.tables import Base


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        # SQLite alters a table by making a new one, and does so inside a transaction.
        render_as_batch=True,
        # Elsewhere Alembic knows whether tables can be made inside a transaction.
        transactional_ddl=True if connection.dialect.name == "sqlite" else None,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def run_for_developer() -> None:
    chosen = context.get_x_argument(as_dictionary=True).get("registry")
    engine = connect_to(locate(chosen or "scratch.db"))
    with engine.begin() as connection:
        run(connection)


given = context.config.attributes.get("connection")
if given is None:
    run_for_developer()
else:
    run(given)
