"""Who runs all loops of a graph, and answers for them?"""
