"""What would fail later, said before work begins; one module for each group of checks."""
