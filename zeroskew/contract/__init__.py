"""What training must hand over for the service to load it."""
