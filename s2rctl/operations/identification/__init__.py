"""Identifying a robot's motion step by step: recordings of excitation, the solution, checks of it, the profile."""
