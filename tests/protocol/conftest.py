"""Hypothesis for pure rules: how long one example takes says how busy the machine is, no more."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "rules", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("rules")
