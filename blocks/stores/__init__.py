"""Doors to the stores that a backup asks: connections, snapshots, counts."""
