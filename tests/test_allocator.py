"""Freed memory is kept for the next arrays, as the operating system's count of page faults shows."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import numpy as np
from simgym.allocator import keep_freed_memory

if {keep}:
    keep_freed_memory()

def churn():
    arrays = [np.ones(12 * 2**20, np.uint8) for _ in range(6)]

churn()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    churn()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(keep: bool) -> int:
    printed = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(keep=keep)], capture_output=True, text=True, check=True
    ).stdout
    return int(printed)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_arrays_reuse_what_was_freed():
    assert faults(keep=True) < faults(keep=False) / 10
