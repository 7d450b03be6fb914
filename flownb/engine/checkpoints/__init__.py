"""How does a loop go on after a crash?"""
