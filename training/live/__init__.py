"""Jobs over what was served: replay, skew, metrics, and the traffic of the example."""
