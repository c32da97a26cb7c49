"""What a store of sessions and profiles can do, and the lines it lists.

How it is done is in `prefq.storage.sql`.
"""

from typing import NamedTuple, Protocol

from prefq.profiles.profile import Profile
from prefq.session import Session


class SessionSummary(NamedTuple):
    """One line of a list of sessions.

    updated is the time of the last event, or created if there is none. n_answers counts the answers that stand,
    skips left out, as `Session.progress` counts them. stopped is the reason why asking ended, None while it goes on.
    """

    id: str
    user_id: str
    created: str
    updated: str
    n_answers: int
    stopped: str | None
    pool_name: str
    pool_digest: str


class ProfileSummary(NamedTuple):
    """One line of a list of profiles: whose it is, which session it came from, and on how many answers it rests."""

    user_id: str
    session_id: str
    created: str | None
    n_answers: int


class SessionStore(Protocol):
    """Keeps sessions; what was saved once is never changed, only added to."""

    def save_session(self, session: Session) -> None:
        """Store the session, or the events that are new since it was last stored; durable on return.

        Raises
        ------
        MismatchError
            When what is stored under this id is not the beginning of this session; nothing is changed.
        StorageError
            When the store cannot be written.
        """

    def load_session(self, session_id: str) -> Session:
        """The session of this id; NotFoundError if there is none."""

    def list_sessions(self, user_id: str | None = None) -> list[SessionSummary]:
        """Sessions of one user, or of all, the last touched first."""


class ProfileStore(Protocol):
    """Keeps profiles; each is a snapshot, and the last saved of a user counts."""

    def save_profile(self, profile: Profile, *, session_id: str) -> None:
        """Store a snapshot of a profile that came from this session; NotFoundError if there is no such session."""

    def load_profile(self, user_id: str) -> Profile:
        """The profile of this user that was saved last; NotFoundError if there is none."""

    def list_profiles(self) -> list[ProfileSummary]:
        """The profile of each user that was saved last, the newest first."""
