"""How does a result read, as text and tables?"""
