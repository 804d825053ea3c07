"""Model files, addressed by their hash."""
