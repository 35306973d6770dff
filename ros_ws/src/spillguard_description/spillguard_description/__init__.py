"""Arms as data, one folder each: `robots/<name>/robot.yaml` and a model of its geometry. Imports nothing."""

from pathlib import Path

ROBOTS = Path(__file__).parent / "robots"
