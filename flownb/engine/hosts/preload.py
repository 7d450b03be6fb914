"""What does the fork server import before its first child? All that a loop may need.

What cannot be imported is left out, whatever it raises: a `redis.py` beside the notebook
would else end the fork server, and with it loops that have no queues at all.
"""

from __future__ import annotations

import contextlib
import importlib

for _name in ("flownb.engine.hosts.child", "flownb.queues.manager", "redis.asyncio", "cloudpickle"):
    with contextlib.suppress(Exception):
        importlib.import_module(_name)
