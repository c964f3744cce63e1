"""simgym trains robots in a cheap simulator and makes the real world look like it when the robot runs.

Importing this package imports nothing heavy. Its Gymnasium environments are registered by name as soon as Gymnasium
itself is there, in whichever order the two are imported.
"""

from ._register import register_when_imported

__version__ = "0.1.0"

register_when_imported()
