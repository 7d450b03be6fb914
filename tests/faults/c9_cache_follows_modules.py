"""C9: a node with `cache=` gives what an old version of a module gave."""

import importlib
import sys
from pathlib import Path

from flownb import Graph

sys.dont_write_bytecode = True
sys.path.insert(0, ".")


def write(rate):
    Path("mod_c9.py").write_text(
        f"RATE = {rate}\ndef cost(n):\n    return n * {rate}\n"
        f"class Shop:\n    def cost(self, n):\n        return n * {rate}\n"
    )
    importlib.invalidate_caches()


write(2)
import mod_c9  # noqa: E402
from mod_c9 import Shop  # noqa: E402


def called(s):
    return {"called": mod_c9.cost(s["n"])}


def constant(s):
    return {"constant": s["n"] * mod_c9.RATE}


def inside(s):
    from mod_c9 import cost

    return {"inside": cost(s["n"])}


def patched(s):
    return {"patched": Shop().cost(s["n"])}


graph = Graph("c9")
for fn in (called, constant, inside, patched):
    graph.add_node(fn, cache=True)
graph.run({"n": 1})
print(graph.run({"n": 1}).cached, "kept")
write(3)
importlib.reload(mod_c9)
Shop.cost = mod_c9.Shop.cost
run = graph.run({"n": 1})
print({name: run.state[name] for name in ("called", "constant", "inside", "patched")})
print(graph.run({"n": 1}).cached, "kept")
sys.path.remove(".")
del sys.modules["mod_c9"]

# prints
# 4 kept
# {'called': 3, 'constant': 3, 'inside': 3, 'patched': 3}
# 4 kept
