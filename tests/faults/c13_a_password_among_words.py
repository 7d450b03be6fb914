"""C13: an address in words, as other programs take it, shows its password or becomes a file."""

from pathlib import Path

from flownb import Graph
from flownb.errors import FlowError

for store in ("host=h password=topsecret dbname=d", "sqlite://ada:topsecret@h"):
    try:
        Graph("g").add_node("a").run({}, store=store)
        print("made", *sorted(path.name for path in Path().iterdir()))
    except FlowError as error:
        print(type(error).__name__, "shows it" if "topsecret" in str(error) else "says what to do")
try:
    Graph("g").add_producer("p", [1]).start(redis="redis-cli -h h -a topsecret")
except FlowError as error:
    print(type(error).__name__, "shows it" if "topsecret" in str(error) else "says what to do")

# prints
# StoreError says what to do
# StoreError says what to do
# QueueError says what to do
