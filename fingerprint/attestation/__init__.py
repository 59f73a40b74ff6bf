"""A verdict as something to hand on: statements about it, and signatures under them.

See docs/attestation.md for what is stated and what a signature shows.
"""
