"""Compares the weights of two networks, layer by layer, whatever was done to their units.

::

    from fingerprint.weights.comparison import compare
    from fingerprint.weights.difference import diff

    compare(ours, suspect).p_value      # do they share weights?
    diff(ours, suspect).changes         # which tensors changed, how much and how

Weights say what answers do not. What they say stands beside the comparison of answers, with a
verdict of its own, and is never mixed into it.
"""
