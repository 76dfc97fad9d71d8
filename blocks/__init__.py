"""Doors to the world: one typed block or client per thing outside."""
