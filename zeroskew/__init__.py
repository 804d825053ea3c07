"""What the service and training share, and what a project's definitions import."""
