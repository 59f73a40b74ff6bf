"""Measures which verdicts stand: a zoo of real networks, the method, its rivals, error rates."""
