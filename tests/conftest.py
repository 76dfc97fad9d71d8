"""What tests of several rooms share."""

from hypothesis import HealthCheck, settings

from tests.prefect_lab import prefect_lab

__all__ = ["prefect_lab"]

# a busy machine may take any time for an example, and its slowness says nothing of what is tested
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")
