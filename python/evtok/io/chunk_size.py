"""How many events to read at a time, so that memory stays bounded whatever an event holds."""

from __future__ import annotations

#: The objects that one chunk should have at most.
OBJECTS_PER_CHUNK = 2_000_000

#: The first chunk is short: nobody knows yet what an event holds.
FIRST, SHORTEST = 2_000, 64


class ChunkSize:
    """The events of the next chunk, learned from the last one; it grows slowly and shrinks at once.

    Parameters
    ----------
    longest : int
        The most events in a chunk.
    first, shortest : int
        Events of the first chunk, and the fewest that any number of objects leads to.
    objects : int, optional
        The objects that a chunk should have at most, where memory is short.
    """

    def __init__(
        self, longest: int, first: int = FIRST, shortest: int = SHORTEST, objects: int | None = None
    ) -> None:
        self.longest, self.objects = longest, objects
        self.events = min(first, longest)
        self._shortest = min(shortest, longest)

    def learn(self, events: int, objects: int) -> bool:
        """Learn from a chunk; return whether the size stays about the same.

        It at most doubles, and does not grow after events that are nearly empty: they tell nothing of those
        that follow.
        """
        before = self.events
        if events:
            wanted = int((self.objects or OBJECTS_PER_CHUNK) * events / max(1, objects))
            limit = 2 * before if objects >= events else before
            self.events = min(self.longest, max(self._shortest, min(wanted, limit)))
        return before < 2 * self.events and self.events < 2 * before
