"""The runbooks: each file one verb."""
