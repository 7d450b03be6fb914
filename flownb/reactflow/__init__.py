"""How does a drawing come in, and go out again?"""
