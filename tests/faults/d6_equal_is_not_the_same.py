"""D6: what would come back equal, but as something else, is refused with its path."""

import tempfile
from collections import defaultdict
from enum import StrEnum
from pathlib import Path

import numpy as np

from flownb import Graph


class Colour(StrEnum):
    RED = "red"


values = [(1, 2), Colour.RED, np.float64(1.5), defaultdict(int, a=1), {Colour.RED: 1}]
graph = Graph("q").add_producer("p", [{"v": v} for v in values]).add_queue("q").add_edge("p", "q")
graph.add_queue_reader("r", queue="q").add_node("n", keep=9).add_edge("r", "n")
sim = graph.simulate()
print("arrived:", sim.outputs("n"))
for failure in sim.failures():
    print(failure.error)

with tempfile.TemporaryDirectory() as folder:
    for value in values:
        run = Graph("s").add_node("a", lambda _, value=value: {"v": value})
        try:
            run.run({}, store=Path(folder) / "runs.sqlite")
            print("kept:", type(value).__name__)
        except Exception as error:
            print(error)

# prints
# arrived: []
# queue 'q': payload.v: a tuple comes back as a list: use list(...), or give the queue model=
# queue 'q': payload.v: Colour comes back as str: use .value, or give the queue model=
# queue 'q': payload.v: float64 comes back as float: use .item(), or give the queue model=
# queue 'q': payload.v: defaultdict comes back as dict: use dict(...), or give the queue model=
# queue 'q': payload.v: the key <Colour.RED: 'red'>: Colour comes back as str: use .value
# kept: tuple
# what node 'a' returned: .v: Colour comes back as str: use .value
# what node 'a' returned: .v: float64 comes back as float: use .item()
# what node 'a' returned: .v: defaultdict comes back as dict: use dict(...)
# what node 'a' returned: .v: the key <Colour.RED: 'red'>: Colour comes back as str: use .value
