"""What can go wrong, each kind with a stable code."""
