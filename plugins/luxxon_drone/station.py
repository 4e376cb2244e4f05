"""Our end of a MAVLink link as a state machine: bytes and the time go in, events and frames come out. No I/O.

Of one vehicle, chosen by its system id or the first to be heard: who else is on the link is counted and
otherwise ignored. A component is heard from one network address at a time, as long as that one speaks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from pymavlink.dialects.v20 import common as mavlink

from luxxon_drone.codec import Codec
from luxxon_drone.exchange import Command, Exchange, Outcome
from luxxon_drone.position import Position, Positions

_ATTENDANTS = frozenset(
    {
        mavlink.MAV_TYPE_GCS,
        mavlink.MAV_TYPE_ONBOARD_CONTROLLER,
        mavlink.MAV_TYPE_GIMBAL,
        mavlink.MAV_TYPE_CAMERA,
        mavlink.MAV_TYPE_ADSB,
        mavlink.MAV_TYPE_ANTENNA_TRACKER,
    }
)


def is_vehicle(heartbeat: mavlink.MAVLink_heartbeat_message) -> bool:
    """Whether a heartbeat is an autopilot's, and not of what is carried along or stands on the ground."""
    return heartbeat.autopilot != mavlink.MAV_AUTOPILOT_INVALID and heartbeat.type not in _ATTENDANTS


MAX_NEIGHBOURS, MAX_COMPONENTS = 16, 32
"""Of more than that nobody keeps a note: a hostile sender can make up any number."""


@dataclass(frozen=True, slots=True)
class Settings:
    system_id: int = 245
    component_id: int = mavlink.MAV_COMP_ID_ONBOARD_COMPUTER
    target_system: int = 0
    """0: the first vehicle that is heard."""
    target_component: int = mavlink.MAV_COMP_ID_AUTOPILOT1
    heartbeat_type: int = mavlink.MAV_TYPE_ONBOARD_CONTROLLER
    heartbeat_seconds: float = 1.0
    timeout: float = 5.0
    """Seconds without a heartbeat of the autopilot after which the link is lost."""
    key: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The vehicle is heard, for the first time or again."""


@dataclass(frozen=True, slots=True)
class Beat:
    """A further heartbeat of the autopilot."""


@dataclass(frozen=True, slots=True)
class LinkLost:
    pass


@dataclass(frozen=True, slots=True)
class Rebooted:
    """The vehicle has started anew: what it was told before it has forgotten."""


@dataclass(frozen=True, slots=True)
class Finished:
    number: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Received:
    """A message of the camera or gimbal protocol, asked for or not."""

    component: int
    message: Any


@dataclass(frozen=True, slots=True)
class Moved:
    position: Position


Event = LinkUp | Beat | LinkLost | Rebooted | Finished | Received | Moved


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A packed frame. ``routes`` are the sources to send it back to; empty where none is known yet."""

    frame: bytes = field(repr=False)
    routes: tuple[Hashable, ...]


class Station:
    """Feed :meth:`receive` and :meth:`tick`, send what :meth:`outgoing` gives. ``now`` is monotonic."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.codec = Codec(settings.system_id, settings.component_id, settings.key)
        self.vehicle: int | None = settings.target_system or None
        self.alive = False
        self.autopilot = self.vehicle_type = 0
        """MAV_AUTOPILOT and MAV_TYPE, once alive."""
        self.components: dict[int, int] = {}
        """Component id to MAV_TYPE of those of the vehicle that send heartbeats."""
        self.neighbours: set[int] = set()
        """System ids of other vehicles on the link."""
        self.impostors = 0
        """Messages in the vehicle's name from a second address."""
        self._heard = float("-inf")
        self._routes: dict[int, tuple[Hashable, float]] = {}
        self._positions = Positions()
        self._queues: dict[tuple[int, int], deque[Exchange]] = {}
        self._numbers = 0
        self._heartbeat_due = float("-inf")
        self._out: list[Outgoing] = []

    def receive(
        self, data: bytes, now: float, unix_time: float, source: Hashable = None, *, stream: bool = False
    ) -> list[Event]:
        """Take a datagram from ``source``, or the next bytes of a stream."""
        messages = self.codec.stream(data, now) if stream else self.codec.datagram(data)
        events: list[Event] = []
        for message in messages:
            events += self._message(message, now, source)
        self._advance(now, unix_time)
        return events + self._finished()

    def tick(self, now: float, unix_time: float) -> list[Event]:
        """Let time pass: heartbeats, retries, and the loss of the link."""
        events: list[Event] = []
        if self.alive and now >= self._heard + self.settings.timeout:  # as in `due`, to the last bit
            self.alive = False
            self._positions = Positions()
            self._abandon()
            events.append(LinkLost())
        self._advance(now, unix_time)
        if now >= self._heartbeat_due:
            following = self._heartbeat_due + self.settings.heartbeat_seconds
            self._heartbeat_due = following if following > now else now + self.settings.heartbeat_seconds
            self._send_heartbeat(unix_time)
        return events + self._finished()

    def fix_known(self, now: float) -> bool:
        """Whether the autopilot has lately told how good its fix is."""
        return self._positions.fix_known(now)

    def due(self) -> float:
        """When :meth:`tick` is wanted next, if nothing is received before."""
        times = [self._heartbeat_due]
        if self.alive:
            times.append(self._heard + self.settings.timeout)
        times += [queue[0].due for queue in self._queues.values() if queue]
        return min(times)

    def submit(self, command: Command, now: float, unix_time: float) -> int:
        """Begin a command, or queue it behind one of the same key; :class:`Finished` tells how it ended."""
        self._numbers += 1
        exchange = Exchange(self._numbers, command)
        if not self.alive:
            exchange.outcome = Outcome.LINK_LOST
        self._queues.setdefault(command.key, deque()).append(exchange)
        self._advance(now, unix_time)
        return exchange.number

    def send(self, message: mavlink.MAVLink_message, component: int, unix_time: float) -> None:
        """Send a message that nobody acknowledges."""
        route = self._routes.get(component) or self._routes.get(self.settings.target_component)
        self._out.append(Outgoing(self.codec.encode(message, unix_time), (route[0],) if route else ()))

    def outgoing(self) -> list[Outgoing]:
        """Frames to send now; each is given out once."""
        out, self._out = self._out, []
        return out

    # -- receiving ---------------------------------------------------------------------------------------

    def _message(self, message: Any, now: float, source: Hashable) -> Iterable[Event]:
        system, component = message.get_srcSystem(), message.get_srcComponent()
        if system == self.settings.system_id and component == self.settings.component_id:
            return ()  # our own, come back
        heartbeat = message.get_msgId() == mavlink.MAVLINK_MSG_ID_HEARTBEAT
        if heartbeat and self.vehicle is None and self._is_vehicle(message):
            self.vehicle = system
        if system != self.vehicle:
            if heartbeat and self._is_vehicle(message) and len(self.neighbours) < MAX_NEIGHBOURS:
                self.neighbours.add(system)
            return ()
        if not self._routed(component, source, now, heartbeat):
            self.impostors += 1
            return ()
        if heartbeat:
            return self._heartbeat(message, now)
        return self._content(message, now)

    def _is_vehicle(self, message: Any) -> bool:
        return message.get_srcComponent() == self.settings.target_component and is_vehicle(message)

    def _routed(self, component: int, source: Hashable, now: float, heartbeat: bool) -> bool:
        """Whether a message comes from where its component is; that moves after silence, by a heartbeat."""
        known = self._routes.get(component)
        if known is not None and known[0] != source:
            if now < known[1] + self.settings.timeout:
                return False
            if component in self.components and not heartbeat:
                return False
        if known is not None or len(self._routes) < MAX_COMPONENTS:
            self._routes[component] = source, now
        return True

    def _heartbeat(self, message: Any, now: float) -> Iterable[Event]:
        component = message.get_srcComponent()
        if component in self.components or len(self.components) < MAX_COMPONENTS:
            self.components[component] = message.type
        if not self._is_vehicle(message):
            return ()
        self._heard = now
        self.autopilot, self.vehicle_type = message.autopilot, message.type
        if self.alive:
            return (Beat(),)
        self.alive = True
        return (LinkUp(),)

    def _content(self, message: Any, now: float) -> Iterable[Event]:
        number, component = message.get_msgId(), message.get_srcComponent()
        if number == mavlink.MAVLINK_MSG_ID_COMMAND_ACK:
            self._acknowledged(message, now)
        elif number in (mavlink.MAVLINK_MSG_ID_GPS_RAW_INT, mavlink.MAVLINK_MSG_ID_GLOBAL_POSITION_INT):
            if component == self.settings.target_component and self.alive:
                return self._position(message, now)
        else:
            self._answered(message)
            return (Received(component, message),)
        return ()

    def _position(self, message: Any, now: float) -> Iterable[Event]:
        if message.get_msgId() == mavlink.MAVLINK_MSG_ID_GPS_RAW_INT:
            lost = self._positions.gps_raw_int(message, now)
            return (Moved(lost),) if lost else ()
        position, rebooted = self._positions.global_position_int(message, now)
        if rebooted:
            self._abandon()
        events: list[Event] = [Rebooted()] if rebooted else []
        return [*events, Moved(position)] if position else events

    def _acknowledged(self, message: Any, now: float) -> None:
        ours = (0, self.settings.system_id), (0, self.settings.component_id)
        if message.target_system not in ours[0] or message.target_component not in ours[1]:
            return
        queue = self._queues.get((message.command, message.get_srcComponent()))
        if queue and queue[0].sent:
            queue[0].acknowledged(message.result, now)

    def _answered(self, message: Any) -> None:
        index = getattr(message, "stream_id", 0)
        for queue in self._queues.values():
            if not queue or not queue[0].sent:
                continue
            command = queue[0].command
            if (
                command.answer == message.get_msgId()
                and command.component == message.get_srcComponent()
                and command.index in (0, index)
            ):
                queue[0].answered()

    # -- sending -----------------------------------------------------------------------------------------

    def _advance(self, now: float, unix_time: float) -> None:
        """Begin what has come to the head of its queue, and repeat what is due."""
        for queue in self._queues.values():
            head = next((one for one in queue if one.outcome is None), None)
            if head is None:
                continue
            confirmation = head.poll(now) if head.sent else head.begin(now)
            if confirmation is not None:
                self._transmit(head.command, confirmation, unix_time)

    def _transmit(self, command: Command, confirmation: int, unix_time: float) -> None:
        parameters = (*command.parameters, *[0.0] * 7)[:7]
        message = mavlink.MAVLink_command_long_message(
            self.vehicle or 0, command.component, command.command, confirmation, *parameters
        )
        self.send(message, command.component, unix_time)

    def _send_heartbeat(self, unix_time: float) -> None:
        message = mavlink.MAVLink_heartbeat_message(
            self.settings.heartbeat_type, mavlink.MAV_AUTOPILOT_INVALID, 0, 0, mavlink.MAV_STATE_ACTIVE, 3
        )
        routes = tuple(dict.fromkeys(source for source, _ in self._routes.values()))
        self._out.append(Outgoing(self.codec.encode(message, unix_time), routes))

    def _abandon(self) -> None:
        for queue in self._queues.values():
            for exchange in queue:
                exchange.outcome = exchange.outcome or Outcome.LINK_LOST

    def _finished(self) -> list[Event]:
        events: list[Event] = []
        for key, queue in list(self._queues.items()):
            events += [Finished(one.number, one.outcome) for one in queue if one.outcome]
            remaining = deque(one for one in queue if not one.outcome)
            if remaining:
                self._queues[key] = remaining
            else:
                del self._queues[key]
        return events
