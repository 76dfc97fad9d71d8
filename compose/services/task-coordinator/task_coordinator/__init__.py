"""Task coordinator: a queue in Redis, workers that may die, tasks that finish once."""

VERSION = "17.0.0"
