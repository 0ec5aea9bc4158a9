"""A robot, a task and a system that s2rctl does not know: an arm of two links touches a ball."""
