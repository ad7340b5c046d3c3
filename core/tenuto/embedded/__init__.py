"""Postgres and a Kafka-protocol broker from wheels, so that a laptop walks the same road as production.

Nothing here is on the path of a production install: the extra `embedded` brings the wheels, and only the demo, the
tests and the benchmarks start these parts. Each part is a context manager that owns one directory and one child
process; the child ends when its owner ends, however its owner ends.
"""

from .broker import EmbeddedBroker
from .child import DirectoryTaken, PartFailed, PartMissing, PortTaken
from .postgres import EmbeddedPostgres

__all__ = ["DirectoryTaken", "EmbeddedBroker", "EmbeddedPostgres", "PartFailed", "PartMissing", "PortTaken"]
