"""The newest item only, and every item accounted for."""

from __future__ import annotations

import threading
import time

from hypothesis import given
from hypothesis import strategies as st

from simgym.deploy import Mailbox


def test_the_newest_is_taken_and_the_others_are_dropped():
    mailbox: Mailbox[int] = Mailbox()
    for item in range(5):
        mailbox.put(item)
    assert mailbox.take() == 4
    assert mailbox.counts() == (5, 4)


def test_what_is_too_old_is_dropped():
    now_s = 0.0
    mailbox: Mailbox[str] = Mailbox(0.5, clock=lambda: now_s)
    mailbox.put("old")
    now_s = 0.6
    taken: list[str | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take()))
    taker.start()
    while mailbox.counts() != (1, 1):
        time.sleep(0.001)
    mailbox.put("new")
    taker.join(5)
    assert taken == ["new"] and mailbox.counts() == (2, 1)


def test_age_at_the_limit_is_taken():
    now_s = 0.0
    mailbox: Mailbox[str] = Mailbox(0.5, clock=lambda: now_s)
    mailbox.put("item")
    now_s = 0.5
    assert mailbox.take() == "item"


def test_closing_wakes_the_taker_and_drops_what_waits():
    mailbox: Mailbox[int] = Mailbox()
    taken: list[int | None] = []
    taker = threading.Thread(target=lambda: taken.append(mailbox.take()))
    taker.start()
    mailbox.close()
    taker.join(5)
    assert taken == [None]
    mailbox.put(1)
    assert mailbox.take() is None and mailbox.counts() == (1, 1)
    waiting: Mailbox[int] = Mailbox()
    waiting.put(1)
    waiting.close()
    assert waiting.take() is None and waiting.counts() == (1, 1)


@given(st.lists(st.sampled_from(["put", "take"]), max_size=40))
def test_received_is_taken_and_dropped_and_waiting(steps):
    mailbox: Mailbox[int] = Mailbox()
    put = taken = 0
    newest: int | None = None
    for step in steps:
        if step == "put":
            mailbox.put(put)
            newest, put = put, put + 1
        elif newest is not None:
            assert mailbox.take() == newest
            newest, taken = None, taken + 1
    received, dropped = mailbox.counts()
    assert received == put == taken + dropped + (newest is not None)


def test_threads_lose_nothing():
    mailbox: Mailbox[tuple[int, int]] = Mailbox()
    taken: list[tuple[int, int]] = []

    def take_all() -> None:
        while (item := mailbox.take()) is not None:
            taken.append(item)

    taker = threading.Thread(target=take_all)
    taker.start()

    def put_all(k: int) -> None:
        for i in range(2000):
            mailbox.put((k, i))

    taker = threading.Thread(target=take_all)
    taker.start()
    putters = [threading.Thread(target=put_all, args=(k,)) for k in range(3)]
    for thread in putters:
        thread.start()
    for thread in putters:
        thread.join()
    mailbox.close()
    taker.join(5)
    received, dropped = mailbox.counts()
    assert received == 6000 == len(taken) + dropped
    for k in range(3):
        mine = [i for putter, i in taken if putter == k]
        assert mine == sorted(mine)
