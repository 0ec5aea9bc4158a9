"""An xArm controller on the wire: private Modbus-TCP commands and binary reports, with MuJoCo as the arm."""
