from __future__ import annotations

import inspect

import registry
import registry.errors
from fingerprint.errors import FingerprintError


def test_everything_promised_is_there() -> None:
    for name in registry.__all__:
        assert hasattr(registry, name)
    assert sorted(registry.__all__) == registry.__all__


def test_every_error_is_exported_and_in_the_librarys_tree() -> None:
    for name in registry.errors.__all__:
        assert name in registry.__all__
        assert issubclass(getattr(registry, name), FingerprintError)


def test_every_error_is_drawn_in_the_tree() -> None:
    assert registry.errors.__doc__ is not None
    for name in registry.errors.__all__:
        assert name in registry.errors.__doc__


def test_every_public_method_has_a_docstring() -> None:
    for name, method in inspect.getmembers(registry.Registry, inspect.isfunction):
        assert name.startswith("_") or method.__doc__, name
