"""Labels that came for predictions."""
