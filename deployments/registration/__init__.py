"""What the Prefect server is told: pool, blocks, automations, deployments; each part idempotent."""
