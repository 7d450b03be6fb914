"""Among the B3: dir() and completion offer public names, and nothing of the machinery."""

import flownb
from flownb import Graph

print(sorted({name for name in dir(flownb) if name[0] != "_"} ^ set(flownb.__all__)))
orch = Graph("g").add_producer("p", [1, 2]).start()
inner = "client gates heartbeat home kernel_loop links middleware namespace needs_server origin \
    requests server specs tracks watching"
print([name for name in inner.split() if name in dir(orch)])
orch.stop().wait(10)

# prints
# []
# []
