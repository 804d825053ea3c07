"""Compiles feature services into plans, and the feature repository into a catalog."""
