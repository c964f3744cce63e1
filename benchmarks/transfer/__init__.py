"""The transfer table, from frames to numbers: ``python -m benchmarks.transfer``, see ``__main__.py``."""
