"""Rare labels measured against other methods, and where they decide."""
