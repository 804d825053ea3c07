"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A test never asserts a time: a busy machine would turn a right answer red.
settings.register_profile("no_deadline", deadline=None)
settings.load_profile("no_deadline")
