"""The prior of a session that does not start where its pool says."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sessions", sa.Column("prior", sa.Text()))


def downgrade() -> None:
    op.drop_column("sessions", "prior")
