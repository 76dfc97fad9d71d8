"""The backend of the stack: models, vectors, tasks and the health of everything behind it."""

VERSION = "17.0.0"
