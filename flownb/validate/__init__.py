"""Which mistakes does a workflow have?"""
