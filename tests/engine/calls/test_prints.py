"""Do prints of nodes go to their loop, also if it ends while a cell is printing?"""

from __future__ import annotations

import subprocess
import sys

import pytest

RACE = """
import threading
from flownb.engine.prints import capture, release

class Long:
    def __str__(self):  # another thread has its turn while `print` holds sys.stdout
        other = threading.Thread(target=release)
        other.start()
        other.join()
        return "long"

for _ in range(50):
    capture()
    print(Long(), "and", "more")
print("alive")
"""


@pytest.mark.wallclock
def test_a_print_survives_that_its_stream_is_taken_down_under_it():
    done = subprocess.run([sys.executable, "-c", RACE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("alive\n")
