"""From a step's field map to the streams and fields that its source shall read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.flows.fieldmaps import ALL, Choice, choice_of
from flowmate_airflow.protocols.streams import SelectedStream, Stream, SyncMode
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.schemafields import Fields, fields_of
from flowmate_airflow.steps.steplog import clean_failure

MAX_TOLD = 20
"""How many problems are told; the rest is counted."""
_MAX_SEARCH = 20_000
LOOK = "`flowmate discover FLOW STEP` shows the tables and fields there are"


class SelectionError(ConfigFailure):
    """A field map does not fit what the source offers.

    :param problems: all that is wrong with it
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        told = self.told()
        listed = told[0] if len(told) == 1 else "".join(f"\n- {problem}" for problem in told) + "\n"
        text = f"the step asks for what the source does not have: {listed}{'' if len(told) > 1 else '. '}{LOOK}"
        super().__init__(clean_failure(text))  # near names are the source's own

    def told(self) -> list[str]:
        """Return the problems, as many as one cares to read."""
        more = len(self.problems) - MAX_TOLD
        return [*self.problems[:MAX_TOLD], *([f"and {more:,} more"] if more > 0 else [])]


def select_streams(
    field_map: Mapping[str, Any] | None,
    streams: Sequence[Stream] | None,
    *,
    mode: SyncMode = "full",
    cursors: Mapping[str, str] | None = None,
) -> list[SelectedStream]:
    """Return what a source shall read, ordered by namespace and name.

    :param field_map: a step's `select`, checked; None: everything
    :param streams: what the source offers; None: nobody knows, as it cannot tell
    :param mode: how it is read, as far as each stream can: one that needs a cursor and has none is read in full
    :param cursors: the field that tells what is new, by table
    :returns: nothing where neither the map nor the source names a table, so that the source decides itself
    :raises SelectionError: the map or the cursors name what there is not, or no table is left
    """
    problems: list[str] = []
    if streams is None:
        selected = list(_unknown(field_map or {}, mode, cursors or {}, problems))
    else:
        selected = list(_known(field_map, Tables(streams), mode, cursors or {}, problems))
    if not selected and not problems and (streams is not None or _names_tables(field_map)):
        problems.append(_nothing_left(field_map, streams))
    if problems:
        raise SelectionError(problems)
    return selected


class Tables:
    """The streams of a source by the names that a field map may call them.

    :param streams: what the source offers
    """

    def __init__(self, streams: Iterable[Stream]) -> None:
        self.streams = sorted(streams, key=lambda stream: (stream.namespace or "", stream.name))
        self._named: dict[str, list[Stream]] = {}
        for stream in self.streams:
            self._named.setdefault(stream.name, []).append(stream)
        self._qualified = {full_name(stream): stream for stream in reversed(self.streams)}

    def name(self, stream: Stream) -> str:
        """Return what a field map calls a stream: its name, with the namespace where it takes that to tell it."""
        return stream.name if len(self._named[stream.name]) == 1 else full_name(stream)

    def find(self, name: str, other: str | None, problems: list[str]) -> Stream | None:
        """Return the stream that a field map means.

        :param other: what it calls the stream beside
        :param problems: where it goes when there is none
        """
        for each in filter(None, (name, other)):
            exact = self._qualified.get(each)
            found = self._named.get(each, [])
            if len(found) > 1 and (exact is None or exact.namespace is not None):
                written = " or ".join(f"`{full_name(stream)}`" for stream in found[:5])
                problems.append(f"there are {len(found)} tables `{each}`; write {written}")
                return None
            if found or exact is not None:
                return found[0] if len(found) == 1 else exact
        problems.append(_with_hint(f"there is no table `{name}`", did_you_mean(name, map(self.name, self.streams))))
        return None


def full_name(stream: Stream) -> str:
    """Return a stream's name with its namespace."""
    return f"{stream.namespace}.{stream.name}" if stream.namespace else stream.name


def kept_always(stream: Stream, cursor: str | None = None) -> frozenset[str]:
    """Return the fields that are read whatever a field map says: keys, cursors, and those the source insists on."""
    return frozenset(filter(None, (*stream.primary_key, *stream.automatic, stream.cursor, cursor)))


def mode_of(stream: Stream, mode: SyncMode, cursor: str | None) -> SyncMode:
    """Return how a stream is read: with a cursor that the step names, its source judges."""
    able = cursor is not None or (stream.incremental and not needs_cursor(stream))
    return "incremental" if mode == "incremental" and able else "full"


def needs_cursor(stream: Stream) -> bool:
    """Whether the stream can be read incrementally only by a cursor that the step must name."""
    offered = stream.raw if isinstance(stream.raw, Mapping) else {}
    # An Airbyte source says whether the cursor is its own; a Singer tap that has a choice of cursors names one.
    return stream.cursor is None and "supported_sync_modes" in offered and not offered.get("source_defined_cursor")


def _known(
    field_map: Mapping[str, Any] | None,
    tables: Tables,
    mode: SyncMode,
    cursors: Mapping[str, str],
    problems: list[str],
) -> Iterator[SelectedStream]:
    choices, rest = _choices(field_map, tables, problems)
    named = {id(stream): cursor for stream, cursor in _cursors(cursors, tables, problems)}
    common = _Common(rest, tables.streams)
    for stream in tables.streams:
        choice, cursor = choices.get(id(stream), rest), named.get(id(stream))
        if not choice.on:
            continue
        fields = fields_of(stream.schema)
        chosen = _chosen(choice, fields, f"the table `{tables.name(stream)}`", common, problems)
        if chosen is not None:
            if not chosen and choice is rest:
                continue  # `"*"` asks for fields that others have
            chosen |= kept_always(stream, cursor)
        how = mode_of(stream, mode, cursor)
        yield SelectedStream(stream, chosen, how, cursor if how == "incremental" else None)
    problems.extend(common.problems())


def _choices(
    field_map: Mapping[str, Any] | None, tables: Tables, problems: list[str]
) -> tuple[dict[int, Choice], Choice]:
    """Return the choice for each stream that the map names, and the one for all others."""
    if field_map is None:
        return {}, Choice(on=True, everything=True)
    rest = choice_of(field_map[ALL]) if ALL in field_map else Choice(on=False)
    choices: dict[int, Choice] = {}
    for name, value in field_map.items():
        choice = choice_of(value)
        stream = tables.find(name, choice.name, problems) if name != ALL else None
        if stream is None:
            continue
        if id(stream) in choices:
            problems.append(f"the table `{tables.name(stream)}` is named twice")
        choices[id(stream)] = choice
    return choices, rest


def _cursors(cursors: Mapping[str, str], tables: Tables, problems: list[str]) -> Iterator[tuple[Stream, str]]:
    for name, cursor in cursors.items():
        mine: list[str] = []
        stream = tables.find(name, None, mine)
        problems += [f"in `cursors`, {problem}" for problem in mine]
        if stream is None:
            continue
        fields = fields_of(stream.schema)
        if cursor != stream.cursor and not fields.may_have(cursor):
            where = f"in `cursors`, the table `{tables.name(stream)}`"
            problems.append(_no_field(where, cursor, fields))
        else:
            yield stream, cursor


class _Common:
    """The fields that `"*"` asks of all tables: each must be in one of them at least.

    :param choice: what the map says of all tables that it does not name
    """

    def __init__(self, choice: Choice, streams: Sequence[Stream]) -> None:
        self.choice = choice
        self._streams = streams
        self._missing = dict.fromkeys((*choice.names, *choice.without), True)

    def found(self, name: str) -> None:
        """Note that a table has a field."""
        self._missing[name] = False

    def problems(self) -> Iterator[str]:
        """Yield what no table has."""
        for name, missing in self._missing.items():
            if missing:
                known = {top for stream in self._streams[:50] for top in fields_of(stream.schema).children}
                yield _with_hint(f"none of the tables has a field `{name}`", did_you_mean(name, known))


def _chosen(choice: Choice, fields: Fields, where: str, common: _Common, problems: list[str]) -> frozenset[str] | None:
    """Return the fields of one table that are chosen; None: all."""
    present = frozenset(_present((*choice.names, *choice.without), choice, fields, where, common, problems))
    if not choice.everything:
        return present
    without = present.intersection(choice.without)
    if not without:
        return None
    closed = [name for name in without if fields.find(name) is None]
    if closed:
        listed = ", ".join(f"`{name}`" for name in sorted(closed))
        problems.append(f"{where} does not say which fields it has beside {listed}; list those that are wanted")
    return present.intersection(choice.names).union(_all_but(fields, without))


def _present(
    names: Iterable[str], choice: Choice, fields: Fields, where: str, common: _Common, problems: list[str]
) -> Iterator[str]:
    for name in names:
        if fields.may_have(name):
            if choice is common.choice:
                common.found(name)
            yield name
        elif choice is not common.choice:
            problems.append(_no_field(where, name, fields) if len(problems) < MAX_TOLD else f"`{name}` in {where}")


def _all_but(fields: Fields, without: frozenset[str]) -> Iterator[str]:
    """Yield the fields that together are all but some: whole objects, or what is left of them."""
    below: dict[str, set[str]] = {}
    for each in without:
        for parent in _parents(each):
            below.setdefault(parent, set()).add(each.removeprefix(f"{parent}."))
    for name, field in fields.children.items():
        if name in without:
            continue
        inner = frozenset(each for each in below.get(name, ()) if field.find(each) is not None)
        if inner:
            yield from (f"{name}.{left}" for left in _all_but(field, inner))
        else:
            yield name


def _parents(name: str) -> Iterator[str]:
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def _no_field(where: str, name: str, fields: Fields) -> str:
    known, place = fields.nearest(name)
    before = f"{known}." if known else ""
    if known and not place.children:
        return f"{where} has no field `{name}`; `{known}` is {place.describe()}, which has no fields"
    last = name.rpartition(".")[2]
    deeper = [path for path, _ in islice(fields.walk(), _MAX_SEARCH) if path.rpartition(".")[2] == last][:3]
    if deeper:
        hint: str | None = "did you mean " + " or ".join(f"`{path}`" for path in deeper) + "?"
    else:
        hint = did_you_mean(name.removeprefix(before), place.children)
        hint = hint and re.sub("`([^`]+)`", lambda near: f"`{before}{near[1]}`", hint)
    return _with_hint(f"{where} has no field `{name}`", hint)


def _unknown(
    field_map: Mapping[str, Any], mode: SyncMode, cursors: Mapping[str, str], problems: list[str]
) -> Iterator[SelectedStream]:
    """Yield what the map alone tells: what is read of a source that cannot tell which streams it has."""
    choices = {name: choice_of(value) for name, value in field_map.items()}
    choices = {name: choice for name, choice in choices.items() if choice.on}
    rest = choices.pop(ALL, None)
    if rest is not None and (choices or rest.names or rest.without):
        problems.append('`"*"` stands for all tables, and the source cannot tell which it has; name them')
        return
    for name in sorted(choices):
        choice, cursor = choices[name], cursors.get(name)
        if choice.without:
            listed = ", ".join(f"`!{each}`" for each in choice.without)
            problems.append(f"{listed} of `{name}`: the source cannot tell which other fields it has; list them")
        stream = Stream(name)
        wanted = None if choice.everything else frozenset(choice.names) | kept_always(stream, cursor)
        yield SelectedStream(stream, wanted, mode, cursor)
    for name in cursors:
        if name not in choices:
            problems.append(_with_hint(f"in `cursors`, `select` has no table `{name}`", did_you_mean(name, choices)))


def _names_tables(field_map: Mapping[str, Any] | None) -> bool:
    return field_map is not None and not (ALL in field_map and choice_of(field_map[ALL]).on)


def _nothing_left(field_map: Mapping[str, Any] | None, streams: Sequence[Stream] | None) -> str:
    if streams is not None and not streams:
        return "the source offers no table at all; its account may not be allowed to see any"
    hint = '; tables that it does not name are not read: add `"*": "*"` for them' if field_map else ""
    return f"no table is left to be read{hint}"


def _with_hint(text: str, hint: str | None) -> str:
    return f"{text}; {hint}" if hint else text
