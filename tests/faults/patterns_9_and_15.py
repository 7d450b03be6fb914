"""The discriminator is reset in a cycle, and instances start while others run."""

from flownb import Graph

LINKS = {"home": ["slow", "fast"], "slow": [], "fast": ["f1"], "f1": ["f2"], "f2": []}


async def fetch(page, ctx):
    await ctx.sleep(10 if page == "slow" else 1)
    return page


crawl = Graph("crawl").add_node("fetch", fetch, over="todo", into="found", more=LINKS.get)
sim = crawl.simulate(payload={"todo": ["home"]})
print(sim.duration, sim.state["found"])

ahead = Graph("ahead").add_node("begin", lambda _: {"n": 0})
ahead.add_node("ask", lambda state: {"n": state["n"] + 1})
ahead.add_node("near", takes=1).add_node("far", takes=5)
ahead.add_node("answer", join="first", cancel=False).add_if("again", lambda state: state["n"] < 2)
ahead.add_node("end").add_edge("begin", "ask", "near", "answer", "again")
ahead.add_edge("ask", "far", "answer").add_edge("again", "ask", when=True)
sim = ahead.add_edge("again", "end", when=False).simulate()
print(sim.duration, [span.start for span in sim.timeline if span.node == "answer"])

# prints
# 11.0 ['home', 'slow', 'fast', 'f1', 'f2']
# 10.0 [1.0, 6.0]
