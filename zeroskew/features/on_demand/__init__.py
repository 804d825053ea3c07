"""Compiles on-demand feature views into graphs that compute the same without their code."""
