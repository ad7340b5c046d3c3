"""The broker's side of rights and accounts: read what it has, tell it what it should have.

Taken away is first, given is last: stopped in between, nobody has more than the table says. Doing it again does the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from kafka import errors as kafka_errors
from kafka.admin import (
    ACL,
    ACLFilter,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourcePatternFilter,
    ResourceType,
    UserScramCredentialUpsertion,
)

from ..errors import NotConfigured
from .kafka_client import Cluster, administer
from .kafka_rights import Difference, Right

# What turns a password into a key is slow for whoever guesses; Kafka takes 4,096 to 16,384 rounds.
SCRAM_ROUNDS = 16_384
_RESOURCES = (ResourceType.TOPIC, ResourceType.CLUSTER)


def found_rights(cluster: Cluster) -> frozenset[Right]:
    """Return every right on topics and on the cluster; raises NotConfigured when this account may not see them, or Busy."""
    with administer(cluster, "see the rights of others") as admin:
        try:
            answers = [admin.describe_acls(_everything(kind))[0] for kind in _RESOURCES]
        except kafka_errors.SecurityDisabledError as error:
            raise NotConfigured(
                "The broker has no authorizer, so everybody may do everything. See deploy/kafka/server.properties."
            ) from error
    return frozenset(_right(acl) for answer in answers for acl in answer)


def change_rights(cluster: Cluster, difference: Difference) -> None:
    """Take away what is foreign and give what is missing; raises NotConfigured or Busy, and may be repeated then."""
    with administer(cluster, "change the rights of others") as admin:
        if difference.foreign:
            answers = admin.delete_acls([_acl(right) for right in difference.foreign])
            _demand_done([error for _, _, error in answers if error is not kafka_errors.NoError])
        if difference.missing:
            _demand_done(admin.create_acls([_acl(right) for right in difference.missing])["failed"])


def set_password(cluster: Cluster, account: str, password: str) -> None:
    """Make the SCRAM account, or give it another password; raises NotConfigured or Busy."""
    with administer(cluster, f"make the account {account}") as admin:
        change = UserScramCredentialUpsertion(account, "SCRAM-SHA-512", password, iterations=SCRAM_ROUNDS)
        complaint = admin.alter_user_scram_credentials([change]).get(account)
    if complaint is not None:
        raise NotConfigured(f"The broker does not make the account {account}: {complaint}")


def _demand_done(failures: Sequence[type[kafka_errors.KafkaError]]) -> None:
    for failure in failures:
        raise failure()


def _everything(kind: ResourceType) -> ACLFilter:
    pattern = ResourcePatternFilter(kind, None, ACLResourcePatternType.ANY)
    return ACLFilter(None, None, ACLOperation.ANY, ACLPermissionType.ANY, pattern)


def _right(acl: ACL) -> Right:
    pattern = acl.resource_pattern
    return Right(
        principal=acl.principal,
        operation=acl.operation.name.lower(),
        name=pattern.resource_name,
        prefix=pattern.pattern_type == ACLResourcePatternType.PREFIXED,
        resource=pattern.resource_type.name.lower(),
        allow=acl.permission_type == ACLPermissionType.ALLOW,
        host=acl.host,
    )


def _acl(right: Right) -> ACL:
    kind = ACLResourcePatternType.PREFIXED if right.prefix else ACLResourcePatternType.LITERAL
    return ACL(
        right.principal,
        right.host,
        ACLOperation[right.operation.upper()],
        ACLPermissionType.ALLOW if right.allow else ACLPermissionType.DENY,
        ResourcePattern(ResourceType[right.resource.upper()], right.name, kind),
    )
