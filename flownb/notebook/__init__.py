"""How does an object show itself in a cell?"""
