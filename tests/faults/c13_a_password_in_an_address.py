"""C13: an address without `redis://` shows its password, or becomes a folder of that name."""

from pathlib import Path

from flownb import Graph
from flownb.errors import FlowError
from flownb.stores import open_store

address = "ada:topsecret@127.0.0.1:6379"
try:
    Graph("g").add_producer("p", [1]).start(redis=address)
except FlowError as error:
    print(type(error).__name__, "shows it" if "topsecret" in str(error) else "says", "redis://")
try:
    open_store("ada:topsecret@h/db").runs.list()
    Graph("g").add_node("a").run({}, store="ada:topsecret@h/db")
    print("made", *sorted(path.name for path in Path().iterdir()))
except FlowError as error:
    print(
        type(error).__name__, "shows it" if "topsecret" in str(error) else "says", "postgresql://"
    )

# prints
# QueueError says redis://
# StoreError says postgresql://
