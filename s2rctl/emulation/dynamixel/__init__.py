"""Dynamixel buses on pseudo-terminals: protocol 2.0 and the X series' control table, with MuJoCo as the arms."""
