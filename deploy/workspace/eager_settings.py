"""Lets the broker compact some topics at once, and gives every topic back what it had, also after a killed run.

Rule: what a topic had is written down on the broker before anything is changed. Whoever comes after a kill finds it
there, and gives it back to every topic that was left eager, whether it has anything to do with that topic or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

from pydantic import TypeAdapter, ValidationError

from deploy.workspace.broker import Broker
from deploy.workspace.putting_back import put_back
from schemas.topics import SPECS, Topic, topic_name

EAGER = {
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.0",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "100",
    "file.delete.delay.ms": "1000",
}
"""The broker compacts a closed file at once with these, and removes the old one a second later."""
SETTINGS_GROUP = "before-clearing"
"""Under this name the broker keeps what the topics of a workspace had; nobody reads with it."""
NOTED_BESIDE = Topic.CONTACT_CHANGES

_Settings = dict[Topic, dict[str, str]]
_SETTINGS: TypeAdapter[_Settings] = TypeAdapter(_Settings)


@asynccontextmanager
async def eager(
    broker: Broker, prefix: str, cleared: Collection[Topic], clearable: Collection[Topic]
) -> AsyncIterator[None]:
    """Let the broker be eager with `cleared` topics, and give them their settings back whatever happens.

    So are the settings of those `clearable` ones given back that a run which was killed has left eager.
    """
    before, left = await _keep_settings(broker, prefix, clearable)
    changed = {topic_name(prefix, topic): before[topic] for topic in (*cleared, *left)}
    try:
        for topic in cleared:
            await broker.change_settings(topic_name(prefix, topic), EAGER)
        yield
    finally:
        told = "the topics could not be given their settings back: repeat the command when the broker answers again"
        await put_back(_give_back(broker, changed), told)


async def _keep_settings(broker: Broker, prefix: str, clearable: Collection[Topic]) -> tuple[_Settings, list[Topic]]:
    """What each topic has when it is not eager, written down on the broker; and which were left eager."""
    group, beside = f"{prefix}{SETTINGS_GROUP}", topic_name(prefix, NOTED_BESIDE)
    noted = _read_settings(await broker.note(group, beside))
    kept: _Settings = {}
    left: list[Topic] = []
    for topic in clearable:
        own = await broker.own_settings(topic_name(prefix, topic))
        had = {setting: own[setting] for setting in EAGER if setting in own}
        if had == EAGER:
            left.append(topic)
            usual = SPECS[topic].config
            had = noted.get(topic, {setting: usual[setting] for setting in EAGER if setting in usual})
        kept[topic] = had
    if kept != noted:
        await broker.write_note(group, beside, _SETTINGS.dump_json(kept).decode())
    return kept, left


async def _give_back(broker: Broker, before: Mapping[str, Mapping[str, str]]) -> None:
    for name, had in before.items():
        await broker.change_settings(name, {setting: had.get(setting) for setting in EAGER})


def _read_settings(note: str) -> _Settings:
    """What `_keep_settings` wrote down; nothing if it is not there, or of another version."""
    try:
        return _SETTINGS.validate_json(note)
    except ValidationError:
        return {}
