"""Backups as values: components, manifests, retention, plans, reports."""
