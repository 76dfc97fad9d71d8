"""One verb per function, called by the flows."""
