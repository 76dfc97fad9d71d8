"""Registration with Prefect and the ops command line."""
