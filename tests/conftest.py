"""What all tests share."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# Two shared cores are at times many times slower than themselves: time is no measure of a test here. The same
# examples every time, so that a failure is one everywhere.
settings.register_profile(
    "optkit", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
settings.load_profile("optkit")
