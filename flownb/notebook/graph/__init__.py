"""How does a graph become a picture?"""
