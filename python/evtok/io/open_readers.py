"""Files that stay open between two reads of a source, for each thread and process its own."""

from __future__ import annotations

import os
import threading

from evtok.io.open_file import EventFile

_ANY_THREAD = -1  # in place of a thread's number: the file is nobody's


class OpenReaders:
    """The last file of each thread of this process: a child must not move the file positions of its parent."""

    def __init__(self) -> None:
        self._readers: dict[tuple[int, int], tuple[int, EventFile]] = {}

    def take(self, k: int) -> EventFile | None:
        """Take file `k` out, if it is the one that this thread kept, or that one was handed over."""
        for thread in (threading.get_ident(), _ANY_THREAD):
            kept = self._readers.pop((os.getpid(), thread), None)
            if kept is not None and kept[0] == k:
                return kept[1]
            if kept is not None:
                kept[1].close()
        return None

    def hand_over(self) -> None:
        """Leave the file that this thread kept to whichever thread asks next."""
        kept = self._readers.pop((os.getpid(), threading.get_ident()), None)
        before = self._readers.pop((os.getpid(), _ANY_THREAD), None)
        if before is not None:
            before[1].close()
        if kept is not None:
            self._readers[os.getpid(), _ANY_THREAD] = kept

    def keep(self, k: int, reader: EventFile) -> None:
        """Keep file `k` for this thread, in place of the one that it kept."""
        key = os.getpid(), threading.get_ident()
        before = self._readers.pop(key, None)
        self._readers[key] = (k, reader)
        if before is not None:
            before[1].close()

    def clear(self) -> None:
        """Close what this process keeps; the files of a parent are left to it."""
        for key in list(self._readers):
            kept = self._readers.pop(key, None)
            if kept is not None and key[0] == os.getpid():
                kept[1].close()

    def __del__(self) -> None:
        self.clear()
