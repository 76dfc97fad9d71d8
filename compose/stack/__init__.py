"""The pure model of a compose stack: values and decisions, no side effects."""
