"""The HTTP endpoints, one file a group."""
