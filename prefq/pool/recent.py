"""Recent: the values of the latest keys that were asked for, safe to share between threads."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_Value = TypeVar("_Value")


class Recent(Generic[_Value]):
    """A cache of a pure function: the `n_kept` values that were asked for last.

    A value is made outside the lock, so that nobody waits for another key; two threads that miss one key at the same
    time both make it, and both get the one that was kept first.
    """

    def __init__(self, n_kept: int) -> None:
        self._n_kept, self._lock = n_kept, Lock()
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _Value]) -> _Value:
        """The value of a key, made if it is not among the latest."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        made = make()
        with self._lock:
            value = self._values.setdefault(key, made)
            self._values.move_to_end(key)
            while len(self._values) > self._n_kept:
                self._values.popitem(last=False)
        return value
