"""The one thread that runs networks, so that the executor never waits for them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from simgym.deploy import Mailbox

Item = TypeVar("Item")
STOP_S = 5.0


class Worker(Generic[Item]):
    """Calls ``process`` with the newest item, again and again, until it is stopped; exceptions go to ``failed``."""

    def __init__(self, process: Callable[[Item], None], failed: Callable[[Exception], None], max_age_s: float) -> None:
        self.mailbox: Mailbox[Item] = Mailbox(max_age_s)
        self._process, self._failed = process, failed
        self._thread = threading.Thread(target=self._run, name="inference", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Drop what waits and end; what is being processed is finished first."""
        self.mailbox.close()
        self._thread.join(STOP_S)

    def _run(self) -> None:
        while (item := self.mailbox.take()) is not None:
            try:
                self._process(item)
            except Exception as error:  # whatever it is, the next frame may be sound
                self._failed(error)
