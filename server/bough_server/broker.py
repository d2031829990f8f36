"""Live changes for everyone who watches: topics, bounded queues, and a word to those who are too slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Any

Event = tuple[int, str, Any]  # id, kind, data
_QUEUE = 1000  # events that a subscriber may be behind


class Broker:
    """Hands events to the subscribers of their topic. Lives on one event loop; publishing never waits."""

    def __init__(self) -> None:
        self._subscribers: list[_Subscriber] = []
        self._last_id = 0

    @property
    def has_subscribers(self) -> bool:
        """Whether anyone watches anything."""
        return bool(self._subscribers)

    @property
    def topics(self) -> set[str]:
        """All topics that somebody watches."""
        return {topic for subscriber in self._subscribers for topic in subscriber.topics}

    def is_watched(self, topic: str) -> bool:
        """Return whether anyone would hear of ``topic``: what nobody watches need not be made."""
        return any(topic in subscriber.topics for subscriber in self._subscribers)

    def publish(self, topic: str, event: str, data: Any) -> None:
        """Give ``data`` to everyone who watches ``topic``."""
        self._last_id += 1
        for subscriber in self._subscribers:
            if topic in subscriber.topics:
                subscriber.put((self._last_id, event, data))

    async def subscribe(self, topics: Iterable[str]) -> AsyncGenerator[Event]:
        """Yield ``hello``, then what is published, until the broker closes; ``reload`` stands for what was dropped."""
        subscriber = _Subscriber(frozenset(topics))
        self._subscribers.append(subscriber)
        try:
            yield (self._last_id, "hello", {})
            while (event := await subscriber.get()) is not None:
                yield event
        finally:
            self._subscribers.remove(subscriber)

    def reload(self) -> None:
        """Let everyone load anew: something may have been missed."""
        self._last_id += 1
        for subscriber in self._subscribers:
            subscriber.put((self._last_id, "reload", {}))

    def close(self) -> None:
        """End all subscriptions."""
        for subscriber in self._subscribers:
            subscriber.close()


class _Subscriber:
    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._is_closed = False

    def put(self, event: Event) -> None:
        if len(self._events) >= _QUEUE:
            self._events.clear()
            event = (event[0], "reload", {})
        self._events.append(event)
        self._arrived.set()

    def close(self) -> None:
        self._is_closed = True
        self._arrived.set()

    async def get(self) -> Event | None:
        while not self._events:
            if self._is_closed:
                return None
            self._arrived.clear()
            await self._arrived.wait()
        return self._events.popleft()
