"""Sources of frames: a folder or a glob of pictures, a video, a rosbag (1, 2, MCAP), what `simgym.collect` wrote."""

from simgym.config.sources import SourceConfig

from .frame import Frame, Report, SourceError
from .reading import iterate, read_frames

__all__ = ["Frame", "Report", "SourceConfig", "SourceError", "iterate", "read_frames"]
