"""Measures Stopgap's speed and size against two bare clients: `python -m tests.bench`, or `make bench`."""
