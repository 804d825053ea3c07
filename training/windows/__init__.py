"""States of windowed views, on their way to the online store."""
