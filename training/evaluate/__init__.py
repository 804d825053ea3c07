"""How good a fitted model is: metrics, intervals, gates, the report."""
