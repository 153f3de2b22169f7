"""Moves a workspace to another number of partitions: new topics under another prefix, the old ones sealed for ever.

The order: copy while the workspace is in use; seal the doors in the order in which records pass them; wait until
everything is evaluated and read; copy the rest; compare both sides; only then create the new input log, without which
no service starts there. Rule: until that last step the old workspace is the only one, and a move that fails before it
opens the doors again. A killed move leaves them sealed: running it again goes on, cancelling it opens them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiokafka.errors import KafkaError
from pydantic import TypeAdapter, ValidationError

from deploy.workspace.broker import Broker, Shape
from deploy.workspace.comparing import Inventory, differences, take_inventory
from deploy.workspace.control import Control, new_rows, read_control
from deploy.workspace.copying import COPIED, Copier, Workspace
from deploy.workspace.errors import OperationRefusedError
from deploy.workspace.putting_back import put_back
from schemas.groups import EVALUATOR_GROUP, SCHEDULER_GROUP, WEBHOOK_GROUPS, group_name
from schemas.topics import SPECS, Topic
from services.runtime import clock
from services.runtime.settings import TOPIC_PREFIX, RuntimeSettings
from services.runtime.topics import verify_topics

SEALED_BYTES = {
    # Room for the marker with which the broker ends a transaction, and for next to nothing else.
    Topic.CONTACT_CHANGES: 80,
    Topic.SEGMENTS: 1,
    Topic.ATTRIBUTES: 1,
    Topic.REQUESTS: 1,
    Topic.WEBHOOKS: 1,
    Topic.AUDIT: 1,
}
"""The largest record that a sealed topic takes: the broker itself refuses every producer, also those we do not know."""
EVALUATED = (Topic.MEMBERSHIPS, Topic.CONTACTS_CHANGELOG, Topic.CONTROL_CHANGELOG)
"""What the evaluators' transactions end in."""
SIZE_SETTING = "max.message.bytes"
SIZES_GROUP = "before-repartition"
"""Under this name the broker keeps what the sealed topics of a workspace had; nobody reads with it."""
TIMESTAMP_SETTING = "message.timestamp.type"
COPIED_TIMESTAMPS = "CreateTime"
"""A copy has the time of what it copies."""
POLL_S = 0.2
COPY_ROUNDS_MAX = 20
COMPARE_ROUNDS_MAX = 5

Say = Callable[[str], None]
_SIZES: TypeAdapter[dict[Topic, str | None]] = TypeAdapter(dict[Topic, str | None])


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """What to move where. `left_groups` are consumer groups that nobody will read with again."""

    prefix: str
    partitions: int
    scheduler_group: str = SCHEDULER_GROUP
    left_groups: frozenset[str] = frozenset()
    wait_s: float = 120.0


@dataclass(slots=True)
class Moved:
    """What was moved."""

    source: Workspace
    target: Workspace
    contacts: int
    members: int
    groups: list[str]
    sealed_s: float


class Move:
    """One move. `run` may be called again, by another process too, after whatever happened to a run before."""

    def __init__(self, broker: Broker, settings: RuntimeSettings, options: MoveOptions, say: Say) -> None:
        self._broker = broker
        self._settings = settings
        self._options = options
        self._say = say
        self._sizes: dict[Topic, str | None] = {}
        """What the topics to be sealed have of their own when they are not."""
        self._sealed: set[Topic] = set()

    async def run(self) -> Moved:
        """Move. Errors: `OperationRefusedError`; the workspace then goes on as before."""
        source = await self._source()
        target = Workspace(self._options.prefix, self._options.partitions)
        self._check(source, target)
        await self._refuse_finished(target)
        await self._keep_sizes(source)
        copier = Copier(self._broker, source, target)
        await self._create(source, target, copier)
        await copier.start()
        try:
            self._say(f"Copied {await copier.copy_all():,} records while the workspace is in use.")
            try:
                return await self._sealed_move(copier)
            except BaseException:
                left = "the workspace may be sealed still: repeat the move, or open it with --cancel, once Kafka is up"
                await put_back(self._reopen(source, target), left)
                raise
        finally:
            await copier.close()

    async def cancel(self) -> None:
        """Open the doors of a workspace that a killed move left sealed. Errors: `OperationRefusedError` once moved."""
        source = await self._source()
        await self._refuse_finished(Workspace(self._options.prefix, self._options.partitions))
        await self._keep_sizes(source)
        await self._unseal(source)

    async def _sealed_move(self, copier: Copier) -> Moved:
        source, target = copier.source, copier.target
        began = clock.monotonic()
        await self._seal(source, Topic.SEGMENTS, Topic.ATTRIBUTES, Topic.REQUESTS)
        await self._until("the scheduler to forward every definition", lambda: self._unforwarded(source))
        await self._seal(source, Topic.CONTACT_CHANGES)
        self._say("Sealed: the workspace refuses writes until the move is over.")
        await self._until("the evaluators to evaluate everything", lambda: self._unevaluated(source))
        await self._copy_rest(copier)
        await self._until("every consumer to read all changes and stop", lambda: self._unread(source))
        await self._seal(source, Topic.WEBHOOKS, Topic.AUDIT)
        inventory = await self._same(copier)
        # A broker that took the seal late may have taken a write meanwhile: then the copies are not all.
        if left := await self._unevaluated(source):
            raise OperationRefusedError(f"the workspace was not still while it was copied: {left}; repeat the move")
        groups = await self._move_groups(source, target)
        await self._open(source, target)
        return Moved(
            source,
            target,
            inventory.topics[Topic.CONTACTS_CHANGELOG].total,
            inventory.members_by_row.total,
            groups,
            clock.monotonic() - began,
        )

    async def _source(self) -> Workspace:
        prefix = self._settings.topic_prefix
        name = Workspace(prefix, 1).name(Topic.CONTACT_CHANGES)
        shapes = await self._broker.shapes([name])
        if name not in shapes:
            raise OperationRefusedError(
                f"there is no topic {name}: set TIDEGATE_TOPIC_PREFIX to the prefix of the workspace to move"
            )
        return Workspace(prefix, shapes[name].partitions)

    def _check(self, source: Workspace, target: Workspace) -> None:
        if not re.fullmatch(TOPIC_PREFIX, target.prefix):
            raise OperationRefusedError(
                f"no service would start with the prefix {target.prefix!r}: name one of at most 100 letters, digits, "
                "'.', '_' and '-' with --to-prefix"
            )
        if source.prefix == target.prefix:
            raise OperationRefusedError(
                f"the workspace has the prefix {source.prefix!r} already: name another with --to-prefix"
            )
        if source.partitions == target.partitions:
            raise OperationRefusedError(f"the workspace has {source.partitions} partitions already")

    async def _is_finished(self, target: Workspace) -> bool:
        name = target.name(Topic.CONTACT_CHANGES)
        return name in await self._broker.shapes([name])

    async def _refuse_finished(self, target: Workspace) -> None:
        if await self._is_finished(target):
            raise OperationRefusedError(
                f"topic {target.name(Topic.CONTACT_CHANGES)} exists, so a workspace with the prefix {target.prefix!r} "
                "is in use or was moved to: choose another --to-prefix"
            )

    async def _create(self, source: Workspace, target: Workspace, copier: Copier) -> None:
        """Create every topic but the input log, with the settings of the old ones; while copying, with their times."""
        topics = [*COPIED, Topic.CONTROL_CHANGELOG, Topic.EVALUATOR_STATUS]
        found = await self._broker.shapes([target.name(topic) for topic in topics])
        for name, shape in found.items():
            expected = target.count(next(topic for topic in topics if target.name(topic) == name))
            if shape.partitions != expected:
                raise OperationRefusedError(
                    f"topic {name} has {shape.partitions} partitions, expected {expected}: it was made by a move to "
                    "another number; delete the topics of that prefix, or choose another --to-prefix"
                )
        # A run that ended between giving the copies their own kind of timestamps back and the switch left them with it.
        for name in found:
            await self._broker.change_settings(name, {TIMESTAMP_SETTING: COPIED_TIMESTAMPS})
        missing = [topic for topic in topics if target.name(topic) not in found]
        if not missing:
            self._say("Going on with the copies of an earlier run.")
            return
        await copier.forget_progress()
        new: dict[str, tuple[Shape, dict[str, str]]] = {}
        for topic in missing:
            shape, settings = await self._as_in(source, target, topic)
            new[target.name(topic)] = shape, {**settings, TIMESTAMP_SETTING: COPIED_TIMESTAMPS}
        await self._broker.create(new)

    async def _as_in(self, source: Workspace, target: Workspace, topic: Topic) -> tuple[Shape, dict[str, str]]:
        """The shape and the settings of a new topic: as the old one's, without its seal."""
        name = source.name(topic)
        shapes = await self._broker.shapes([name])
        if name not in shapes:
            raise OperationRefusedError(f"topic {name} is missing: it cannot be moved")
        settings = await self._broker.own_settings(name)
        if topic in SEALED_BYTES:
            settings.pop(SIZE_SETTING, None)
            if size := self._sizes[topic]:
                settings[SIZE_SETTING] = size
        return Shape(target.count(topic), shapes[name].replicas), {**SPECS[topic].config, **settings}

    async def _keep_sizes(self, source: Workspace) -> None:
        """Know what each topic takes unsealed, and write it down on the broker, for whoever comes after a kill."""
        group, beside = f"{source.prefix}{SIZES_GROUP}", source.name(Topic.CONTACT_CHANGES)
        noted = _read_sizes(await self._broker.note(group, beside))
        for topic, seal in SEALED_BYTES.items():
            had = (await self._broker.own_settings(source.name(topic))).get(SIZE_SETTING)
            usual = SPECS[topic].config.get(SIZE_SETTING)
            self._sizes[topic] = noted.get(topic, usual) if had == str(seal) else had
        if self._sizes != noted:
            await self._broker.write_note(group, beside, _SIZES.dump_json(self._sizes).decode())

    async def _seal(self, source: Workspace, *topics: Topic) -> None:
        for topic in topics:
            self._sealed.add(topic)
            await self._broker.change_settings(source.name(topic), {SIZE_SETTING: str(SEALED_BYTES[topic])})

    async def _refuse_opened(self, source: Workspace) -> None:
        """A seal that somebody took away in between has let writes through that may be on neither side."""
        for topic, size in SEALED_BYTES.items():
            name = source.name(topic)
            if (found := (await self._broker.own_settings(name)).get(SIZE_SETTING)) != str(size):
                raise OperationRefusedError(
                    f"somebody has set {SIZE_SETTING} of topic {name} back to {found or 'its default'}, so it took "
                    "writes while it was copied: stop what manages its settings, such as Strimzi's topic operator by "
                    "the annotation strimzi.io/managed=false on its KafkaTopic, and repeat the move"
                )

    async def _reopen(self, source: Workspace, target: Workspace) -> None:
        """Open the doors again unless the switch has been made."""
        if not await self._is_finished(target):
            await self._unseal(source)
            self._say("Nothing has been switched: the workspace takes writes again.")

    async def _unseal(self, source: Workspace) -> None:
        """Give topics that this run or one before it has sealed what they had."""
        for topic, seal in SEALED_BYTES.items():
            name = source.name(topic)
            if topic in self._sealed or (await self._broker.own_settings(name)).get(SIZE_SETTING) == str(seal):
                await self._broker.change_settings(name, {SIZE_SETTING: self._sizes[topic]})

    async def _until(self, awaited: str, left: Callable[[], Awaitable[str]]) -> None:
        """Wait until nothing is left of what `left` tells."""
        deadline = clock.monotonic() + self._options.wait_s
        told = False
        while reason := await left():
            if clock.monotonic() > deadline:
                raise OperationRefusedError(f"waited {self._options.wait_s:.0f} s for {awaited}: {reason}")
            if not told:
                self._say(f"Waiting for {awaited}: {reason}")
                told = True
            await asyncio.sleep(POLL_S)

    async def _unforwarded(self, source: Workspace) -> str:
        group = group_name(source.prefix, self._options.scheduler_group)
        topic = source.name(Topic.SEGMENTS)
        done = await self._broker.group_offsets(group, topic)
        if not await self._broker.unread(topic, {0: done.get(0, 0)}):
            return ""
        return f"group {group} stands at offset {done.get(0, 0)} of {topic}; the scheduler must run"

    async def _unevaluated(self, source: Workspace) -> str:
        if undecided := await self._undecided(source, Topic.CONTACT_CHANGES):
            return undecided
        group, topic = group_name(source.prefix, EVALUATOR_GROUP), source.name(Topic.CONTACT_CHANGES)
        done = await self._broker.group_offsets(group, topic)
        behind = await self._broker.unread(topic, {each: done.get(each, 0) for each in range(source.partitions)})
        if behind:
            return f"group {group} is behind in {len(behind)} partitions of {topic}; the evaluators must run"
        if undecided := await self._undecided(source, *EVALUATED):
            return undecided
        controls = await read_control(self._broker, source)
        settling = [partition for partition, control in controls.items() if not control.is_settled]
        if settling:
            return f"definitions are still settling in partitions {settling}"
        if any(control.versions != controls[0].versions for control in controls.values()):
            return "the partitions do not hold the same definitions: one was appended to some of them only"
        return ""

    async def _undecided(self, source: Workspace, *topics: Topic) -> str:
        """What committed reads do not show yet: a merge in hand, or a commit whose markers are on their way."""
        for topic in topics:
            if found := await self._broker.undecided(source.name(topic), source.count(topic)):
                return f"transactions are being ended in partitions {found} of {source.name(topic)}"
        return ""

    async def _unread(self, source: Workspace) -> str:
        """Which groups have changes before them, or members that would commit in between."""
        topic = source.name(Topic.MEMBERSHIPS)
        for group in await self._readers(topic):
            done = await self._broker.group_offsets(group, topic)
            behind = await self._broker.unread(topic, {each: done.get(each, 0) for each in range(source.partitions)})
            if behind:
                return f"group {group} has {sum(behind.values()):,} records of {topic} to read"
            if members := await self._broker.members_of(group):
                return f"group {group} has read everything and still has {members} members; stop its consumers"
        return ""

    async def _readers(self, topic: str) -> list[str]:
        groups = [group for group in await self._broker.groups() if group not in self._options.left_groups]
        own = f"{self._options.prefix}repartition"
        return [group for group in groups if group != own and await self._broker.group_offsets(group, topic)]

    async def _copy_rest(self, copier: Copier) -> None:
        """Copy until there is nothing more: deadlines that were due may still be fired."""
        for _ in range(COPY_ROUNDS_MAX):
            if not await copier.copy_all():
                return
        raise OperationRefusedError(f"after {COPY_ROUNDS_MAX} rounds there are still new records to copy")

    async def _same(self, copier: Copier) -> Inventory:
        """Write the control rows and compare; what is returned is held by both sides."""
        source, target = copier.source, copier.target
        found: list[str] = []
        for _ in range(COMPARE_ROUNDS_MAX):
            await self._copy_rest(copier)
            controls: dict[int, Control] = await read_control(self._broker, source)
            await copier.write_rows(Topic.CONTROL_CHANGELOG, new_rows(controls, target.partitions))
            clocks = {partition: control.clock for partition, control in controls.items()}
            before = await take_inventory(self._broker, source, target.partitions, clocks)
            after = await take_inventory(self._broker, target, target.partitions)
            found = list(differences(before, after))
            if before.overdue:
                found.append(f"{before.overdue:,} contacts have deadlines that are being fired")
            if not found:
                self._say(
                    f"Compared: {before.topics[Topic.CONTACTS_CHANGELOG].total:,} contacts, "
                    f"{before.members_by_row.total:,} members, equal on both sides."
                )
                return before
            await asyncio.sleep(POLL_S)
        raise OperationRefusedError("the copies differ from the workspace: " + "; ".join(found))

    async def _move_groups(self, source: Workspace, target: Workspace) -> list[str]:
        """Put each consumer group behind the copied changes, which it has all read."""
        topic = target.name(Topic.MEMBERSHIPS)
        ends = await self._broker.ends(topic, target.partitions)
        moved = []
        for group in await self._readers(source.name(Topic.MEMBERSHIPS)):
            own = group.startswith(group_name(source.prefix, WEBHOOK_GROUPS))
            name = target.prefix + group.removeprefix(source.prefix) if own else group
            try:
                await self._broker.commit_offsets(name, topic, ends)
            except KafkaError as error:
                raise OperationRefusedError(
                    f"group {name} cannot be put behind the copies ({error}): stop its consumers, and repeat the move"
                ) from error
            moved.append(name)
        return moved

    async def _open(self, source: Workspace, target: Workspace) -> None:
        """Give the new topics their own kind of timestamps back, then create the input log: the switch."""
        for topic in COPIED:
            settings = (await self._as_in(source, target, topic))[1]
            await self._broker.change_settings(target.name(topic), {TIMESTAMP_SETTING: settings.get(TIMESTAMP_SETTING)})
        moved = self._settings.model_copy(update={"topic_prefix": target.prefix, "partitions": target.partitions})
        await verify_topics(moved, [topic for topic in Topic if topic is not Topic.CONTACT_CHANGES])
        input_log = await self._as_in(source, target, Topic.CONTACT_CHANGES)
        await self._refuse_opened(source)
        await self._broker.create({target.name(Topic.CONTACT_CHANGES): input_log})


def _read_sizes(note: str) -> dict[Topic, str | None]:
    """What `_keep_sizes` wrote down; nothing if it is not there, or of another version."""
    try:
        return _SIZES.validate_json(note)
    except ValidationError:
        return {}
