"""LightGBM's own work, and the process that it runs in."""
