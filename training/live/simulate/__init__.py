"""Sends past traffic to a service as if it were live."""
