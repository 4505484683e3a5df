"""What can be allowed, and how far. A permission's value is the name by which it is granted."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Reach(IntEnum):
    """How far a permission goes."""

    NONE = 0
    OWN = 1  # only what is the account's own: a service's table, a member's API tokens
    ALL = 2  # all of the namespace


class Permission(StrEnum):
    """What can be allowed in a namespace."""

    RUNTIME_READ = "runtime.read"  # which services are deployed, how they are, their deployments
    RUNTIME_DEPLOY = "runtime.deploy"  # deploy, change, scale and kill services
    LOGS_READ = "logs.read"  # what services and their builds print
    VARIABLES_READ = "variables.read"  # their environment variables; of secrets the names
    STORE_READ = "store.read"
    STORE_WRITE = "store.write"
    BLOBS_READ = "blobs.read"
    BLOBS_WRITE = "blobs.write"
    CONFIG_READ = "config.read"  # its secrets stay masked
    CONFIG_WRITE = "config.write"
    SECRETS_READ = "secrets.read"  # the secrets of the configuration
    EVENTS_READ = "events.read"  # consume and read events, groups and dead letters
    EVENTS_WRITE = "events.write"  # publish
    EVENTS_DELETE = "events.delete"  # delete groups, redrive and delete dead letters
    BROKER_READ = "broker.read"
    BROKER_WRITE = "broker.write"
    REGISTRY_READ = "registry.read"
    REGISTRY_WRITE = "registry.write"  # announce nodes of a service, and take them back
    NETWORK_READ = "network.read"
    ACCOUNTS_READ = "accounts.read"
    ACCOUNTS_WRITE = "accounts.write"  # own: make accounts; all: delete them, too
    RULES_READ = "rules.read"
    RULES_WRITE = "rules.write"
    SECRET_CHANGE = "secret.change"  # noqa: S105 - of an account whose old secret is shown
    TOKENS_READ = "tokens.read"
    TOKENS_WRITE = "tokens.write"
    MEMBERS_WRITE = "members.write"
    NAMESPACES_READ = "namespaces.read"  # which namespaces one can enter
    PLATFORM_OPERATE = "platform.operate"  # make namespaces, read what the platform itself logs


# What a service or a program may be given. The rest belongs to people.
GRANTABLE = frozenset(Permission) - {
    Permission.SECRET_CHANGE,
    Permission.TOKENS_READ,
    Permission.TOKENS_WRITE,
    Permission.MEMBERS_WRITE,
    Permission.NAMESPACES_READ,
    Permission.PLATFORM_OPERATE,
}
# What only an admin gives: who has it can get hold of everything else.
POWERS = frozenset({Permission.RUNTIME_DEPLOY, Permission.ACCOUNTS_WRITE, Permission.RULES_WRITE})
