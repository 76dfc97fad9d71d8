"""Doors of the backup: sealing, signing, the shelf of backups on a target, the pool, the spool."""
