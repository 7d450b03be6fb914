"""C10: an option of a Redis URL changes what replies are, or hangs the loop."""

from flownb import Graph
from flownb.errors import QueueError

for option in ("decode_responses=True", "socket_timeout=0", "no_such_option=1"):
    graph = Graph("g").add_producer("p", [1]).add_queue("q").add_edge("p", "q")
    try:
        graph.start(redis=f"redis://127.0.0.1:1/0?{option}")
    except QueueError as error:
        print(option, "is refused:", "nobody" if "no usable Redis" in str(error) else "in words")
    except TypeError as error:
        print(type(error).__name__)

# prints
# decode_responses=True is refused: in words
# socket_timeout=0 is refused: in words
# no_such_option=1 is refused: in words
