"""How is a workflow written as JSON, and read back?"""
