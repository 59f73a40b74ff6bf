"""Extracts the fingerprint of a model: its harmless inputs, screened, with its own answers.

    fingerprint = extract(model, seed="...")

A pilot finds the early depth at which kin and strangers, registered references among them, lie
furthest apart; two thirds of the probes are solved there, of large inputs more, the others in what
the last layer reads. Where the model has relatives it is the other way round, and those solved late
lie outside the relatives' harmless sets. Candidates start from committed draws, are rounded to
inputs that can be sent, measured on the model itself and on the other registered models, and drawn
again where they do not hold up.

:mod:`~fingerprint.probes.extraction.extracting` has the steps in their order.
"""

from __future__ import annotations

from fingerprint.probes.extraction.extracting import extract, extract_with

__all__ = ["extract", "extract_with"]
