"""The web interface of the stack: health, a chat with the model, tasks."""
