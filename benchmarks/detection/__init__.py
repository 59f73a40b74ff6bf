"""Which verdicts stand: a zoo of real networks, the method and its rivals, and their error rates."""
