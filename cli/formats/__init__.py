"""A verdict in the forms that pipelines read; pure functions from values to text."""
