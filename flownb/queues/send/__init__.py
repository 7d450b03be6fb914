"""How does a message get in, once and in order?"""
