"""Fakes that obey the same contracts as the real things."""
