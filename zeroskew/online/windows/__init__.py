"""Windowed views online: what a state means at the moment of a request."""
