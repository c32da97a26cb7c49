"""Sessions and profiles in a SQL database: one SQLite file by default, another database by its URL."""

from pathlib import Path
from types import TracebackType
from typing import Self

from prefq.profiles.profile import Profile
from prefq.session import Session
from prefq.storage.base import ProfileSummary, SessionSummary


class SqlStore:
    """Sessions and profiles in a SQL database; a `SessionStore` and a `ProfileStore`."""

    @classmethod
    def open(cls, url_or_path: str | Path) -> "SqlStore":
        """Open the store at a path or database URL; created if it does not exist."""
        raise NotImplementedError

    def close(self) -> None:
        """Close all connections."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def save_session(self, session: Session) -> None:
        """As in `SessionStore`."""
        raise NotImplementedError

    def load_session(self, session_id: str) -> Session:
        """As in `SessionStore`."""
        raise NotImplementedError

    def list_sessions(self, user_id: str | None = None) -> list[SessionSummary]:
        """As in `SessionStore`."""
        raise NotImplementedError

    def save_profile(self, profile: Profile, *, session_id: str) -> None:
        """As in `ProfileStore`."""
        raise NotImplementedError

    def load_profile(self, user_id: str) -> Profile:
        """As in `ProfileStore`."""
        raise NotImplementedError

    def list_profiles(self) -> list[ProfileSummary]:
        """As in `ProfileStore`."""
        raise NotImplementedError

    def delete_user(self, user_id: str) -> int:
        """Delete a user's sessions, events and profiles for good; how many sessions there were."""
        raise NotImplementedError
