"""One suspect against many registered models: what it takes and how often it errs."""
