"""What do tests share? Their helpers, each with its question; fixtures are in `conftest.py`."""
