"""Every error that prefq raises on purpose.

PrefqError
├── InputError (ValueError)          what was passed in is wrong; nothing was changed
│   └── MismatchError                two things that must belong together do not: pool, feature space, settings
├── NotFoundError (KeyError)         no such pool, session, user, profile, acquisition
├── InferenceError (RuntimeError)    the mathematics did not converge
└── StorageError (RuntimeError)      a store cannot be read or written

Each message is one sentence: what arrived, what was expected, what to do.
"""


class PrefqError(Exception):
    """Root of all errors raised by prefq; ``str(error)`` is one sentence for a person."""


class InputError(PrefqError, ValueError):
    """What was passed in is wrong; nothing was changed."""


class MismatchError(InputError):
    """Two things that must belong together do not: pool and session, feature spaces, settings."""


class NotFoundError(PrefqError, KeyError):
    """Nothing of this name exists."""

    def __str__(self) -> str:  # KeyError would show the message in quotes
        return str(self.args[0]) if self.args else ""


class InferenceError(PrefqError, RuntimeError):
    """The posterior could not be found; the message holds the gradient norm that was reached."""


class StorageError(PrefqError, RuntimeError):
    """A store cannot be opened, read or written; what was stored before is untouched."""
