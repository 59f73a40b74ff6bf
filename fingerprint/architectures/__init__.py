"""Architectures: names, factories, and what a bare state_dict was made for."""
