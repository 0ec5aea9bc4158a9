"""s2rctl: one command line from a YAML profile to a policy running on a robot arm."""

__version__ = "0.1.0"
