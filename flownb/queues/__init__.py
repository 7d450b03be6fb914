"""How does data cross loops? The manager, and what its parts share.

`open_server` finds the server, a `QueueManager` pushes, reads and settles. Redis,
fakeredis and pydantic are imported when the first queue is used.
"""

from flownb.queues.manager import QueueManager
from flownb.queues.msgpack import register_type
from flownb.queues.servers.link import Server
from flownb.queues.servers.opening import open_server
from flownb.queues.spec import MANUAL, GroupStats, Message, QueueSpec, QueueStats

__all__ = [
    "MANUAL",
    "GroupStats",
    "Message",
    "QueueManager",
    "QueueSpec",
    "QueueStats",
    "Server",
    "open_server",
    "register_type",
]
