"""Alembic's way in: runs the migrations on the connection, and in the transaction, that prefq.storage hands over."""

from alembic import context

from prefq.storage.database import VERSION_TABLE
from prefq.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
)
with context.begin_transaction():
    context.run_migrations()
