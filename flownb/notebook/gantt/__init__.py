"""How does a timeline become a chart?"""
