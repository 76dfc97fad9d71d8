"""Measurements against peers: medians of interleaved runs, as ratios."""
