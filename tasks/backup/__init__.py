"""The verbs of the backup: find what is to be saved, save it, prove it, keep it, let it go."""
