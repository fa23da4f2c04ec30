"""Which targets have rows, as one process remembers it."""

from collections import OrderedDict
from collections.abc import Iterable


class KnownKeys:
    """Keys that have rows, as this process remembers them; rows never go away."""

    MOST = 200_000
    """Keys remembered; some 30 MB."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, None] = OrderedDict()

    def __contains__(self, key: object) -> bool:
        """Tell whether a key is known to have a row."""
        return key in self._keys

    def remember(self, keys: Iterable[str]) -> None:
        """Note that these keys have rows now."""
        for key in keys:
            self._keys[key] = None
        while len(self._keys) > self.MOST:
            self._keys.popitem(last=False)

    def forget(self) -> None:
        """Know nothing: the database is not the one that was looked at."""
        self._keys.clear()
