"""The service: everything that runs in production."""
