"""Measurements anyone can run again; each script prints its own table."""
