"""Sizes and heights of the ALOHA tasks, without MuJoCo. Figures: MuJoCo Playground PR 76 (Apache-2.0)."""

TABLE_TOP = 0.0008
"""World z of the table's surface, m."""
BOX_HALF = (0.048, 0.0125, 0.0125)
PEG_HALF = (0.048, 0.01, 0.01)
SOCKET_HALF = (0.048, 0.022, 0.022)
"""Half sizes, m; every object lies along its x axis."""
HANDOVER_HEIGHT = 0.17
"""World z that both fingertip midpoints pass when the pick policies have done their part of an insertion, m."""
