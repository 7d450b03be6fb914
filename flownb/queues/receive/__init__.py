"""How does a message get out, and what if its reader dies?"""
