"""The table that objects stand on, without MuJoCo."""

TOP = 0.0008
"""World z of its surface, m."""
