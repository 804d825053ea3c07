"""The feature engine: point-in-time joins, request-time functions, plans."""
