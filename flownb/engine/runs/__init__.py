"""How does a graph without producer run, once, and how is it taken up again?"""
