"""Children, siblings, parents and strangers: what is said of whom when models are related."""
