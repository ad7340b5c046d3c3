"""Everything that the topic holds is produced again: it is known, and nothing of it enters a second time."""

from __future__ import annotations

from tenuto.settings import EVENTS_TOPIC
from tenuto.wiring import open_bus

from tests.fire.checking import check_events
from tests.fire.door import all_records
from tests.fire.plant import PARTITIONS, Plant, until

TRACKED = "SELECT coalesce(max(notification_id), 0) FROM ledger.tracking WHERE application_name = %s"


def tracked(plant: Plant, identity: str) -> int:
    with plant.admin() as sql:
        (offset,) = sql.execute(TRACKED, (identity,)).fetchone() or (0,)
    return int(offset)


def test_every_record_again_one_by_one_and_in_whole_batches_adds_nothing(plant: Plant) -> None:
    bus = open_bus(plant.settings)
    until(lambda: plant.receipts() > 100, "something to send again", plant)
    with plant.quiet():
        size = plant.size()
        with bus.publisher() as publisher:
            for partition in range(PARTITIONS):
                with bus.reader(EVENTS_TOPIC, partition) as reader:
                    kept = all_records(reader)
                    for record in kept[:: max(1, len(kept) // 20)]:
                        publisher.publish(EVENTS_TOPIC, record.key, record.value)
                        publisher.flush(60)
                    for record in kept:
                        publisher.publish(EVENTS_TOPIC, record.key, record.value)
                    publisher.flush(60)
                    identity, end = reader.partition_identity(), reader.end_offset()
                    assert end >= 2 * len(kept)
                until(lambda identity=identity, end=end: tracked(plant, identity) == end, "ingest to read it all", plant)
        assert plant.size() == size
        check_events(plant)
