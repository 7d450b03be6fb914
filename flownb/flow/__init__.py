"""How does one item go through a plan? Tokens, joins, the release, cycles, state.

Pure: no clock, no thread, no queue, no asyncio.
"""
