"""Sees to it that the model server has the model: pulled, checked against the catalogue, proven by a token."""
