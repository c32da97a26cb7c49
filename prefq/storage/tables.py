"""The tables as they are now; how a database gets there from an older version is in `prefq.storage.migrations`.

Values of Session and Profile that nobody searches are kept as JSON texts in ASCII, in which every text survives: half
characters from a terminal, and the zero character that PostgreSQL takes in no text.
"""

from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData()

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("created", Text, nullable=False),
    Column("pool_name", Text, nullable=False),
    Column("pool_digest", Text, nullable=False),
    Column("feature_space", Text, nullable=False),
    Column("seed", Text, nullable=False),  # decimal digits: a seed may be longer than a database's integers
    Column("settings", Text, nullable=False),
    Column("format_version", Integer, nullable=False),
    Column("prior", Text),  # where it is not the pool's
    Index("ix_sessions_user_id", "user_id"),
)

events = Table(
    "events",
    metadata,
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("time", Text, nullable=False),
    Column("payload", Text, nullable=False),
)

profiles = Table(
    "profiles",
    metadata,
    Column("id", Integer, primary_key=True),  # grows, so that the last saved has the highest
    Column("user_id", Text, nullable=False),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("created", Text),
    Column("n_answers", Integer, nullable=False),
    Column("document", Text, nullable=False),
    Index("ix_profiles_user_id", "user_id"),
    Index("ix_profiles_session_id", "session_id"),
)
