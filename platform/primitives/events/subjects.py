"""What a namespace's topics and groups are called inside NATS. The namespace is one that exists: its name is plain."""

from __future__ import annotations

import base64
import hashlib

from transport.bus import token


def stream(namespace: str) -> str:
    """The namespace's one stream."""
    return f"events-{namespace}"


def topic(namespace: str, topic: str) -> str:
    """Where a topic's events are published and kept."""
    return f"events.{namespace}.{token(topic)}"


def live(namespace: str, topic: str) -> str:
    """Where the topic's events are heard of once they are on disk."""
    return f"live.{namespace}.{token(topic)}"


def group(topic: str, group: str) -> str:
    """A group's consumer."""
    digest = hashlib.sha256(f"{topic}\0{group}".encode()).digest()
    return "group-" + base64.b32encode(digest).decode()[:32].lower()


def redriven(namespace: str, topic_name: str, group_name: str) -> str:
    """Where events are published that only one group of a topic is to see."""
    return f"{topic(namespace, topic_name)}.{group(topic_name, group_name)}"


def everything(namespace: str) -> list[str]:
    """What the namespace's stream keeps."""
    return [f"events.{namespace}.*", f"events.{namespace}.*.*"]


def message_id(topic: str, id: str) -> str:
    """By what JetStream knows an event that was published before."""
    return token(f"{topic}\0{id}")
