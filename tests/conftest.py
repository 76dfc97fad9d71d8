"""What tests of several rooms share."""

from tests.prefect_lab import prefect_lab

__all__ = ["prefect_lab"]
