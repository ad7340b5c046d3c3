"""Who may do what on the bus, tried by every account on every topic of a real Apache Kafka (M28).

The broker is started on the file of `deploy/kafka/` and given the rights that `tenuto kafka acls --apply` gives. Nothing
here asks what the rights are: each cell of the table is an operation that succeeds or is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka import errors as kafka_errors
from kafka.admin import KafkaAdminClient
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.producer import ProduceRequest
from kafka.record.memory_records import MemoryRecordsBuilder
from tenuto.adapters.kafka import KafkaBus
from tenuto.adapters.kafka_access import KafkaAccess
from tenuto.adapters.kafka_acls import change_rights, found_rights
from tenuto.adapters.kafka_client import REQUEST_MS_MAX, Cluster, connect
from tenuto.adapters.kafka_reader import FETCH_WAIT_MS
from tenuto.adapters.kafka_rights import Difference, Right, compare, wanted_rights
from tenuto.bus import MESSAGE_BYTES_MAX
from tenuto.enclosure import inbox_topic
from tenuto.errors import Busy, NotConfigured
from tenuto.keyring import Key
from tenuto.settings import EVENTS_TOPIC

from tests.contracts.bus_contract import SECONDS_MAX, insist, read
from tests.kafka.secured import ADMIN, Authority, SecuredKafka

REVIEW, INFRA, INGEST, DELIVERY = "code-review", "infrastructure", "ingest", "delivery"
NOBODY, FORGER = "stranger", "code-review with a wrong password"
KEYS = [
    Key(author, author, b"", role, "owner", insecure_demo=False, since=0)
    for author, role in ((REVIEW, "agent"), (INFRA, "agent"), (INGEST, "ingest"))
]
EVENTS, REVIEWS, INFRAS, OTHER = EVENTS_TOPIC, inbox_topic(REVIEW), inbox_topic(INFRA), "somebody.elses"
OPERATIONS = ("describe", "write", "read", "create", "delete")
# account -> topic -> what it may do; everything that is not said is refused.
MATRIX: Mapping[str, Mapping[str, set[str]]] = {
    REVIEW: {EVENTS: {"describe", "write"}, REVIEWS: {"describe", "read"}},
    INFRA: {EVENTS: {"describe", "write"}, INFRAS: {"describe", "read"}},
    INGEST: {EVENTS: {"describe", "read"}},
    DELIVERY: {inbox: {"describe", "write", "read", "create"} for inbox in (REVIEWS, INFRAS)},
    NOBODY: {},
    FORGER: {},
}
CELLS = [
    (account, operation, topic)
    for account in MATRIX
    for topic in (EVENTS, REVIEWS, INFRAS, OTHER)
    for operation in OPERATIONS
]
REFUSALS = (kafka_errors.AuthorizationError, kafka_errors.SaslAuthenticationFailedError)


@pytest.fixture(scope="module")
def admin(secured_kafka: SecuredKafka) -> Iterator[KafkaAdminClient]:
    with secured_kafka.admin() as client:
        yield client


@pytest.fixture(scope="module")
def cluster(secured_kafka: SecuredKafka, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return KafkaBus(secured_kafka.bootstrap, secured_kafka.access(ADMIN, tmp_path_factory.mktemp("admin"))).cluster


@pytest.fixture(scope="module")
def ruled(secured_kafka: SecuredKafka, cluster: Cluster) -> SecuredKafka:
    """The broker with accounts, topics and the rights of the table."""
    secured_kafka.add_accounts((REVIEW, INFRA, INGEST, DELIVERY))
    KafkaBus(secured_kafka.bootstrap, cluster.access).ensure_topics({EVENTS: 2, REVIEWS: 1, INFRAS: 1, OTHER: 1})
    change_rights(cluster, compare(wanted_rights(KEYS), found_rights(cluster)))
    return secured_kafka


class Principal:
    """One account on one connection, or nobody, who gets none.

    Reads and writes are the bare requests, as a client would send them that means ill: ours would stop before, at the
    broker's refusal to describe the topic.
    """

    def __init__(self, access: KafkaAccess, server: str, stack: ExitStack) -> None:
        self._cluster, self._stack, self._client = Cluster((server,), access), stack, None

    @property
    def client(self) -> KafkaAdminClient:
        if self._client is None:
            self._client, _ = connect(KafkaAdminClient, self._cluster)
            self._stack.callback(self._client.close)
        return self._client

    def describe(self, topic: str) -> None:
        (answer,) = self.client.describe_topics([topic])
        demand(answer["error_code"])

    def write(self, topic: str) -> None:
        batch = MemoryRecordsBuilder(magic=2, compression_type=0, batch_size=1024)
        batch.append(timestamp=1, key=None, value=b"written by a test")
        batch.close()
        data = ProduceRequest.TopicProduceData
        partition = data.PartitionProduceData(index=0, records=batch.buffer())
        request = ProduceRequest(
            transactional_id=None, acks=-1, timeout_ms=REQUEST_MS_MAX,
            topic_data=[data(name=topic, partition_data=[partition])], max_version=9,
        )  # fmt: skip
        (answer,) = self._put(request).responses
        demand(answer.partition_responses[0].error_code)

    def read(self, topic: str) -> None:
        asked = FetchRequest.FetchTopic
        partition = asked.FetchPartition(partition=0, fetch_offset=0, partition_max_bytes=MESSAGE_BYTES_MAX)
        request = FetchRequest(
            max_wait_ms=FETCH_WAIT_MS, min_bytes=1, max_bytes=MESSAGE_BYTES_MAX, session_epoch=-1,
            topics=[asked(topic=topic, partitions=[partition])], max_version=12,
        )  # fmt: skip
        (answer,) = self._put(request).responses
        demand(answer.partitions[0].error_code)
        assert answer.partitions[0].records, f"{topic} gave nothing and refused nothing"

    def create(self, topic: str) -> None:
        answer = self.client.create_topics({topic: {"num_partitions": 1}}, raise_errors=False)
        code = answer["topics"][0]["error_code"]
        # Rights are judged first: told that it is there, one had the right to make it.
        demand(0 if code == kafka_errors.TopicAlreadyExistsError.errno else code)

    def delete(self, topic: str) -> None:
        answer = self.client.delete_topics([topic], raise_errors=False)
        demand(answer["topics"][0]["error_code"])

    def _put(self, request: Any) -> Any:
        return self.client._manager.run(self.client._manager.send, request)


def demand(code: int) -> None:
    if code:
        raise kafka_errors.for_code(code)


@pytest.fixture(scope="module")
def principals(ruled: SecuredKafka, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Principal]]:
    folder = tmp_path_factory.mktemp("passwords")
    ruled.passwords.setdefault(NOBODY, "nobody knows")
    access = {name: ruled.access(name, folder) for name in (REVIEW, INFRA, INGEST, DELIVERY, NOBODY)}
    wrong = folder / "wrong"
    wrong.touch(mode=0o600)
    wrong.write_text("not the password of code-review")
    access[FORGER] = KafkaAccess("sasl_plaintext", user=REVIEW, password_file=wrong)
    with ExitStack() as stack:
        yield {name: Principal(one, ruled.bootstrap, stack) for name, one in access.items()}


@pytest.fixture(scope="module", autouse=True)
def something_to_read(ruled: SecuredKafka, cluster: Cluster) -> None:
    with KafkaProducer(bootstrap_servers=ruled.bootstrap, **ruled.login(ADMIN)) as producer:
        for topic in (EVENTS, REVIEWS, INFRAS, OTHER):
            producer.send(topic, b"there already", partition=0)
        producer.flush(SECONDS_MAX)


@pytest.mark.parametrize(("account", "operation", "topic"), CELLS, ids=lambda part: part.replace(" ", "-"))
def test_an_account_may_do_what_the_table_says_and_nothing_else(
    principals: Mapping[str, Principal], account: str, operation: str, topic: str
) -> None:
    attempt: Callable[[str], None] = getattr(principals[account], operation)
    if operation in MATRIX[account].get(topic, ()):
        attempt(topic)
        return
    with pytest.raises(REFUSALS):
        attempt(topic)


def test_delivery_makes_an_inbox_that_was_not_there_and_an_agent_cannot(
    principals: Mapping[str, Principal], admin: KafkaAdminClient
) -> None:
    fresh = inbox_topic("somebody-new")
    with pytest.raises(REFUSALS):
        principals[REVIEW].create(fresh)
    assert fresh not in admin.list_topics()
    principals[DELIVERY].create(fresh)
    assert fresh in admin.list_topics()


def test_every_operation_of_the_table_succeeds_for_somebody() -> None:
    granted = set().union(*(rights for topics in MATRIX.values() for rights in topics.values()))
    assert granted == set(OPERATIONS) - {"delete"}


class TestOurBus:
    """The same through `KafkaBus`: what an author sees of it."""

    @pytest.fixture
    def bus(self, ruled: SecuredKafka, tmp_path: Path) -> Callable[[str], KafkaBus]:
        return lambda account: KafkaBus(ruled.bootstrap, ruled.access(account, tmp_path))

    def test_an_event_goes_from_an_author_to_ingest_and_an_answer_from_delivery_to_the_author(
        self, bus: Callable[[str], KafkaBus]
    ) -> None:
        with bus(REVIEW).publisher() as publisher:
            place = publisher.publish(EVENTS, b"session", b"an event").result(SECONDS_MAX)
        with bus(INGEST).reader(EVENTS, place.partition) as reader:
            reader.seek(place.offset)
            assert read(reader, 1)[0].value == b"an event"
        with bus(DELIVERY).publisher() as publisher:
            place = publisher.publish(REVIEWS, b"code-review", b"a receipt").result(SECONDS_MAX)
        with bus(REVIEW).reader(REVIEWS, 0) as reader:
            reader.seek(place.offset)
            assert read(reader, 1)[0].value == b"a receipt"

    def test_the_inbox_of_another_is_refused_by_name_at_once(self, bus: Callable[[str], KafkaBus]) -> None:
        with pytest.raises(NotConfigured, match=f"does not let code-review look at {INFRAS}.*tenuto kafka acls"):
            bus(REVIEW).reader(INFRAS, 0)

    def test_writing_into_an_inbox_is_refused_by_name_and_not_offered_again(self, bus: Callable[[str], KafkaBus]) -> None:
        with bus(REVIEW).publisher() as publisher:
            sent = publisher.publish(INFRAS, b"", b"forged")
            refused = f"does not let code-review publish to {INFRAS}"
            with pytest.raises(NotConfigured, match=refused):
                sent.result(SECONDS_MAX)
            with pytest.raises(NotConfigured, match=refused):
                publisher.flush(SECONDS_MAX)
            publisher.publish(EVENTS, b"", b"and on it goes").result(SECONDS_MAX)

    def test_ingest_writes_nowhere(self, bus: Callable[[str], KafkaBus]) -> None:
        with bus(INGEST).publisher() as publisher:
            sent = publisher.publish(EVENTS, b"", b"x")
            with pytest.raises(NotConfigured, match=f"does not let ingest publish to {EVENTS}"):
                sent.result(SECONDS_MAX)

    def test_an_author_that_reads_events_is_refused_when_it_reads(self, bus: Callable[[str], KafkaBus]) -> None:
        with bus(REVIEW).reader(EVENTS, 0) as reader:
            refusal = insist(lambda: reader.poll(1, 200), NotConfigured)
        assert f"does not let code-review read {EVENTS}" in str(refusal)

    def test_a_topic_that_is_missing_is_made_by_nobody_without_the_right(self, bus: Callable[[str], KafkaBus]) -> None:
        with pytest.raises(NotConfigured, match="does not let code-review look at tenuto.new"):
            bus(REVIEW).ensure_topics({"tenuto.new": 1})

    @pytest.mark.parametrize("call", ["partitions", "reader", "publish"])
    def test_an_account_that_is_not_accepted_is_told_so_at_once(
        self, ruled: SecuredKafka, tmp_path: Path, call: str
    ) -> None:
        ruled.passwords.setdefault(NOBODY, "nobody knows")
        bus = KafkaBus(ruled.bootstrap, ruled.access(NOBODY, tmp_path))
        calls: dict[str, Callable[[], Any]] = {
            "partitions": lambda: bus.partitions(EVENTS),
            "reader": lambda: bus.reader(EVENTS, 0),
            "publish": lambda: bus.publisher().publish(EVENTS, b"", b""),
        }
        with pytest.raises(NotConfigured, match="does not recognise stranger.*password file"):
            calls[call]()

    def test_a_broker_without_tls_is_no_broker_for_who_asks_for_it(self, ruled: SecuredKafka, tmp_path: Path) -> None:
        with pytest.raises(Busy, match="the last time: KafkaConnectionError"):
            KafkaBus(ruled.bootstrap, ruled.access(REVIEW, tmp_path, tls=True)).partitions(EVENTS)


class TestTls:
    """The listeners that are deployed: passwords over TLS, and certificates."""

    def test_a_password_over_tls_opens_the_same_rights(self, ruled: SecuredKafka, tmp_path: Path) -> None:
        bus = KafkaBus(ruled.tls, ruled.access(REVIEW, tmp_path, tls=True))
        assert bus.partitions(EVENTS) == 2
        with pytest.raises(NotConfigured, match=f"does not let code-review look at {INFRAS}"):
            bus.reader(INFRAS, 0)

    def test_a_certificate_is_the_account_that_it_names(self, ruled: SecuredKafka) -> None:
        bus = KafkaBus(ruled.certified, ruled.certificate_of(REVIEW))
        with bus.publisher() as publisher:
            publisher.publish(EVENTS, b"", b"certified").result(SECONDS_MAX)
        with pytest.raises(NotConfigured, match=f"certificate code-review.pem look at {INFRAS}"):
            bus.reader(INFRAS, 0)

    def test_a_certificate_of_another_authority_is_not_accepted(self, ruled: SecuredKafka, tmp_path: Path) -> None:
        certificate, key = Authority(tmp_path).issue(ADMIN)
        access = KafkaAccess("ssl", ca=ruled.certificates.ca, cert=certificate, key=key)
        with pytest.raises(NotConfigured, match="does not recognise the certificate kafka-admin.pem"):
            KafkaBus(ruled.certified, access).partitions(EVENTS)

    def test_a_broker_of_another_authority_is_told_no_password(self, ruled: SecuredKafka, tmp_path: Path) -> None:
        proper = ruled.access(REVIEW, tmp_path, tls=True)
        access = KafkaAccess("sasl_ssl", ca=Authority(tmp_path).ca, user=REVIEW, password_file=proper.password_file)
        with pytest.raises(NotConfigured, match="or is not recognised.*certificate verify failed"):
            KafkaBus(ruled.tls, access).partitions(EVENTS)


class TestRightsAsCode:
    """Reading and changing them on the real broker."""

    def test_applied_once_nothing_is_left_to_do(self, ruled: SecuredKafka, cluster: Cluster) -> None:
        assert not compare(wanted_rights(KEYS), found_rights(cluster))

    def test_what_somebody_granted_by_hand_is_taken_away_and_what_is_lacking_given(
        self, ruled: SecuredKafka, cluster: Cluster
    ) -> None:
        wanted, by_hand = wanted_rights(KEYS), Right(f"User:{REVIEW}", "all", "tenuto.", prefix=True)
        change_rights(cluster, compare({by_hand}, found_rights(cluster)))
        assert found_rights(cluster) == {by_hand}
        change_rights(cluster, compare(wanted, found_rights(cluster)))
        assert found_rights(cluster) == wanted

    def test_a_wildcard_and_a_denial_are_shown_and_left_alone(self, ruled: SecuredKafka, cluster: Cluster) -> None:
        wanted = wanted_rights(KEYS)
        theirs = [
            Right(f"User:{INFRA}", "read", "*"),
            Right(f"User:{INFRA}", "create", "kafka-cluster", resource="cluster"),
            Right(f"User:{REVIEW}", "write", EVENTS, allow=False, host="192.0.2.1"),
        ]
        change_rights(cluster, compare(wanted | set(theirs), found_rights(cluster)))
        try:
            difference = compare(wanted, found_rights(cluster))
            assert set(difference.looked_at) == set(theirs)
            assert not difference.missing
            assert not difference.foreign
        finally:
            change_rights(cluster, Difference((), tuple(theirs), ()))
        assert found_rights(cluster) == wanted

    def test_an_account_of_an_author_sees_and_changes_no_rights(self, ruled: SecuredKafka, tmp_path: Path) -> None:
        own = KafkaBus(ruled.bootstrap, ruled.access(REVIEW, tmp_path)).cluster
        with pytest.raises(NotConfigured, match="does not let code-review see the rights of others"):
            found_rights(own)
        grant = Right(f"User:{REVIEW}", "all", "tenuto.", prefix=True)
        with pytest.raises(NotConfigured, match="does not let code-review change the rights of others"):
            change_rights(own, compare({grant}, ()))
