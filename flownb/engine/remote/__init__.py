"""How does a loop elsewhere stay in touch with its notebook?"""
