"""Tasks: what the robot must do. A task knows no engine and no renderer."""
