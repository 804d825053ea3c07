"""What really happened: labels that come later, kept as they came."""
