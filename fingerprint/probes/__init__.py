"""Probes: what a registered model is recognised by, and how they are found and stored."""
