"""What lies between us and the model: how often it is noticed, and what verdicts are worth then."""
