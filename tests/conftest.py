"""For all tests: property tests have no deadline, since a machine in full use is none of their matter."""

from hypothesis import settings

settings.register_profile("offhook", settings.default, deadline=None)
settings.load_profile("offhook")
