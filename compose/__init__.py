"""The stack as data (compose files, services, images) and, in compose.stack, as a pure model."""
