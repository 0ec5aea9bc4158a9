"""Calibrating a camera step by step: a folder that remembers, three sources of views, the solution, checks of it."""
