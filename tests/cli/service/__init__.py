"""Tests of the service; they need the extra ``serve``: make test-service."""
