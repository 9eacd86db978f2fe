"""Prometheus metrics, read from the parts' own statistics when they are scraped."""

from collections.abc import Iterator, Mapping
from typing import Any

import trio
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.services import Services


class Metrics(Collector):
    """One registry of our own: nothing global, so that a test may have several servers."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def render(self) -> bytes:
        """The text exposition format."""
        return generate_latest(self._registry)

    def describe(self) -> list[Metric]:
        return []  # names are known once collected; nothing to check beforehand

    def collect(self) -> Iterator[Metric]:
        services = self._services
        sockets = services.fan_out.statistics()
        tasks = trio.lowlevel.current_statistics().tasks_living
        yield _gauge("tasks", "Tasks of the scheduler: one for each member, and a few", tasks)
        yield _gauge("sockets", "Sessions connected", sockets.sessions)
        port, endpoint = services.sockets, services.room_endpoint
        yield _gauge("connections", "Connections open, sessions among them", port.connections)
        yield _labelled(
            "connections_refused", "Connections answered with 503", ["limit"], port.refused
        )
        admission = endpoint.admission
        yield _gauge("joins_under_way", "Members being let in", admission.joining)
        yield _gauge("joins_waiting", "Members waiting to be let in", admission.waiting)
        yield _counter("joins_admitted", "Turns given to join", admission.admitted)
        refused = {"queue_full": admission.queue_full, "waited": admission.waited_too_long}
        yield _labelled("joins_refused", "Joins told to come back", ["reason"], refused)
        yield _labelled(
            "frames_refused",
            "Frames refused by rate, by verb and by whose limit it was",
            ["verb", "limit"],
            endpoint.frames_refused,
        )
        yield _gauge("outbox_bytes", "Waiting in all outboxes", sockets.backlog_bytes)
        yield _counter("frames_sent", "Frames given to outboxes", sockets.frames_sent)
        yield _counter("bytes_sent", "Bytes given to outboxes", sockets.bytes_sent)
        yield _labelled(
            "frames_left_out",
            "Frames that never left for a member who was too slow, by delivery class",
            ["class"],
            sockets.left_out,
        )
        yield _labelled("closes", "Sessions ended, by close code", ["code"], sockets.closes)
        rooms = list(services.rooms)
        yield _gauge("rooms", "Rooms awake", len(rooms))
        waiting = [room.mailbox.statistics() for room in rooms]
        yield _gauge(
            "mailbox_waiting", "Messages waiting in rooms", sum(each.waiting for each in waiting)
        )
        yield _gauge(
            "mailbox_oldest_wait_seconds",
            "The longest wait in any room's mailbox",
            max((each.oldest_wait_s for each in waiting), default=0.0),
        )
        yield _counter("room_restarts", "Restarts of rooms awake", sum(r.restarts for r in rooms))
        ledger = services.ledger.statistics()
        yield _gauge("ledger_waiting", "Settlements waiting", ledger.waiting)
        yield _counter("ledger_batches", "Commits with settlements", ledger.batches)
        yield _counter("tips_settled", "Tips settled for the first time", ledger.settled)
        webhooks = services.dispatcher.statistics()
        attempts = {"delivered": webhooks.delivered, "failed": webhooks.failed}
        yield _labelled("webhook_attempts", "Webhook requests, by outcome", ["outcome"], attempts)
        yield _counter("webhook_dead_letters", "Deliveries given up", webhooks.dead)
        yield _gauge("webhooks", "Active webhooks", webhooks.endpoints)
        yield _gauge("webhooks_behind", "Webhooks with events to get", webhooks.behind)
        yield _gauge("event_streams", "Streams of server-sent events", services.streams.open)
        post = services.messaging.office.statistics()
        yield _gauge("messages_waiting", "Messages in postboxes", post.waiting)
        yield _gauge("messages_unwritten", "Changes of messages not durable yet", post.unwritten)
        yield _gauge("audit_waiting", "Audit writes not durable yet", services.audit.waiting)
        yield _counter("audit_set_aside", "Audit records refused", services.audit.set_aside)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"tiproom_{name}", text, value=value)


def _labelled(
    name: str, text: str, labels: list[str], counts: Mapping[Any, int]
) -> CounterMetricFamily:
    """A key of `counts` is the label's value, or a tuple of the labels' values."""
    family = CounterMetricFamily(f"tiproom_{name}", text, labels=labels)
    for key, count in counts.items():
        values = key if isinstance(key, tuple) else (key,)
        family.add_metric([str(value) for value in values], count)
    return family


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"tiproom_{name}", text, value=value)
