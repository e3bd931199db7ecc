"""A node of an OIH graph as steps: the connector's function, with a `map` before and after where it transforms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.imports import names
from flowmate_airflow.imports.ledger import Ledger
from flowmate_airflow.imports.oih_head import MAX_TITLE, shortened
from flowmate_airflow.imports.oih_models import plain_id
from flowmate_airflow.imports.oih_use import take_use
from flowmate_airflow.imports.report import Path, printable
from flowmate_airflow.imports.transforms import LEFT_OUT, BadTransform, as_map, has_secret
from flowmate_airflow.imports.values import config

_CREDENTIALS = ("credentials_id", "credential_id", "selected_credentials_id")
_OFF = (False, None, "", "false")
_TAKEN = "the node is no step here, but the flow's `webhook`"
_PUT_INTO_BODY = (
    "; elastic.io put `_query`, `_headers`, `_method` and `_url` into the data: here they are `query`, `headers`, "
    "`method` and `path` under `metadata.webhook`"
)
_CALLERS = (
    "it said who may call: everybody, who has a name and password (`scheme: basic`), a key in a header "
    "(`scheme: token_header`) or an HMAC (elastic.io's is in `x-eio-signature`); look at it, and write the scheme"
)
_TAKEN_FIELDS = "the flow's `webhook` has no such fields; look at what they asked for"
_TRANSFORMS = ("applyTransform", "transformFunction", "secondTransformFunction")
_INFO = {
    "_id": "MongoDB's id of the node",
    "createdAt": "kept by version control now",
    "updatedAt": "kept by version control now",
}
_PLATFORM = {
    "idLinking": "ids are linked where a step says a message's own id by `external_id`; write it by hand",
    "applicationUid": "it belongs to idLinking; a step with `external_id` needs no name for the other system",
    "alternateAppUid": "it belongs to idLinking; a step with `external_id` needs no name for the other system",
    "storeRawRecord": "raw records are not stored; each run's batches are kept by Airflow",
    "autoSaveSnapshots": "it is not needed: a condition looks at the message itself",
    "governance": "where data come from and go to is in Airflow's runs and logs; policies have no place in a flow",
    "applyPolicy": "policies have no place in a flow: say it by `when` or `map`",
    "flowPolicy": "policies have no place in a flow: say it by `when` or `map`",
    "policyAction": "policies have no place in a flow: say it by `when` or `map`",
    "devMode": "only OIH's logic gateway reads it",
}
"""Settings that OIH's platform reads, and not the connector; off, they mean nothing."""
_SEEN_TOO = ("idLinking", "applicationUid", "alternateAppUid")
"""Those of them that connectors look at as well."""
_NEEDLESS = ("devMode", "autoSaveSnapshots")
CONNECTOR_SETTINGS = (
    *("snapshotKey", "arraySplittingKey", "syncParam", "syncParamFormat", "initialSnapshot", "skipSnapshot"),
    *("rateLimit", "injectFlowData", "logLevel"),
)
"""Settings that connectors read themselves."""


@dataclass(slots=True)
class NodeParts:
    """What becomes of a node.

    :param id: the step's id
    :param use: the keys of the `use` step, but for `id`, `needs` and `when`
    :param before: the expression of a `map` step before it
    :param after: the expression of a `map` step after it
    """

    id: str
    use: dict[str, Any]
    before: str | None = None
    after: str | None = None


def convert_node(
    ledger: Ledger, index: int, step_id: str, connectors: Mapping[str, str], why_no_map: str | None
) -> NodeParts:
    """Return what becomes of a node; all of it that is known is taken or reported.

    :param step_id: the id of the step
    :param connectors: names of connectors by componentId
    :param why_no_map: why no `map` can stand before it; None: one can
    """
    path: Path = ("graph", "nodes", index)
    node = ledger.get(path)
    parts = NodeParts(step_id, {})
    title = shortened(ledger, (*path, "name"), MAX_TITLE)
    use = take_use(ledger, path, connectors)
    if title is not None:
        parts.use["title"] = title
    description = ledger.text((*path, "description"))
    if description is not None:
        parts.use["description"] = description
    parts.use["use"] = use
    connection = _connection(ledger, path, node)
    if connection is not None:
        parts.use["connection"] = connection
    with_ = _fields(ledger, path, node)
    _settings(ledger, (*path, "nodeSettings"), parts, with_, why_no_map)
    if with_:
        parts.use["with"] = with_
    # The order in which a flow's author would write them.
    parts.use |= {"on_error": parts.use.pop("on_error")} if "on_error" in parts.use else {}
    if node.get("authorization") is not None:
        ledger.todo((*path, "authorization"), "the way to authenticate is chosen with the Airflow Connection")
    for key, message in _INFO.items():
        if key in node:
            ledger.info((*path, key), message)
    return parts


def take_node(ledger: Ledger, index: int) -> str | None:
    """Take the first node, that only handed on what was posted, and return the transform after it.

    :returns: the expression of a `map` step
    """
    path: Path = ("graph", "nodes", index)
    node = ledger.get(path)
    settings = (*path, "nodeSettings")
    parts = NodeParts("", {})
    if isinstance(ledger.get(settings), dict) and ledger.get(settings):
        _transforms(ledger, settings, parts, "the events are what was posted: nothing can transform them before")
        for key in ledger.get(settings):
            if key == "passthrough" and ledger.get((*settings, key)) not in _OFF:
                ledger.todo((*settings, key), "the events do not stand under `passthrough` of later messages")
            elif key not in _TRANSFORMS:
                ledger.info((*settings, key), _TAKEN)
    for key in node:
        if key in _CREDENTIALS:
            ledger.todo_if(node[key], (*path, key), _CALLERS if node[key] else "it is empty")
        elif key == "fields":
            ledger.todo_if(node[key], (*path, key), _TAKEN_FIELDS if node[key] else "it is empty")
        elif key in ("function", "command"):
            ledger.info((*path, key), _TAKEN + _PUT_INTO_BODY)
        elif key != "nodeSettings" or not ledger.get(settings) or not isinstance(ledger.get(settings), dict):
            ledger.info((*path, key), _TAKEN)
    return parts.after


def _connection(ledger: Ledger, path: Path, node: dict[str, Any]) -> str | None:
    connection: str | None = None
    for key in _CREDENTIALS:
        value = plain_id(node.get(key))
        if value is None or value == "":
            if key in node:
                ledger.info((*path, key), "it is empty")
            continue
        name = names.sanitised(value) if isinstance(value, str) else ""
        if not name or connection is not None:
            ledger.todo((*path, key), "it cannot be a `connection`; name an Airflow Connection by hand")
            continue
        connection = name
        ledger.todo((*path, key), f"make an Airflow Connection `{name}` with what this secret holds in OIH")
    return connection


def _fields(ledger: Ledger, path: Path, node: dict[str, Any]) -> dict[str, Any]:
    fields = node.get("fields")
    if isinstance(fields, dict):
        made: dict[str, Any] = config(ledger, (*path, "fields"))
        if "nodeSettings" in made:
            del made["nodeSettings"]
            ledger.todo((*path, "fields", "nodeSettings"), "OIH put the node's settings over this field")
        return made
    if fields is not None:
        ledger.todo((*path, "fields"), "fields are an object, this is none; it was left out")
    elif "fields" in node:
        ledger.info((*path, "fields"), "it is empty")
    return {}


def _settings(ledger: Ledger, path: Path, parts: NodeParts, with_: dict[str, Any], why_no_map: str | None) -> None:
    settings = ledger.get(path)
    if not isinstance(settings, dict):
        if settings is not None:
            ledger.todo(path, "settings are an object, this is none; it was left out")
        elif "nodeSettings" in ledger.get(path[:-1]):
            ledger.info(path, "it is empty")
        return
    if not settings:
        ledger.info(path, "it is empty")
    _transforms(ledger, path, parts, why_no_map)
    handed: dict[str, Any] = {}
    for key in settings:
        _setting(ledger, path, key, parts, handed)
    if handed:
        with_["nodeSettings"] = handed


def _setting(ledger: Ledger, path: Path, key: str, parts: NodeParts, handed: dict[str, Any]) -> None:
    where, value = (*path, key), ledger.get((*path, key))
    if key == "continueOnError":
        _continue_on_error(ledger, where, value, parts)
    elif key in _PLATFORM:
        is_off = value in _OFF
        message = "it is off, as it is here" if is_off else _PLATFORM[key]
        if key in _SEEN_TOO:
            _hand_over(ledger, where, handed)
        ledger.todo_if(not is_off and key not in _NEEDLESS, where, message)
    elif key == "passthrough":
        _hand_over(ledger, where, handed)
        _passthrough(ledger, where, parts)
    elif key == "basaasFlows":
        ledger.info(where, "only for the screen on which the flow was drawn")
    elif key not in _TRANSFORMS:
        # Those that the connector reads, and those we do not know: in OIH a connector gets to see all of them.
        _hand_over(ledger, where, handed)
        if handed.get(key) is not None and key not in CONNECTOR_SETTINGS:
            ledger.info(where, "the importer does not know it; it is handed to the connector as it is")


def _hand_over(ledger: Ledger, path: Path, handed: dict[str, Any]) -> None:
    key = str(path[-1])
    made = config(ledger, path, key)
    if made is not None or ledger.get(path) is None:
        handed[key] = made


def _passthrough(ledger: Ledger, path: Path, parts: NodeParts) -> None:
    """Tell where later steps find the messages of a step that passes them through; the runner does it."""
    if ledger.get(path) in _OFF:
        ledger.info(path, "it is off, as it is here")
        return
    node = ledger.nodes[int(path[2])]
    message = f"later steps find its messages under `passthrough.{parts.id}`"
    renamed = f", in OIH it was `passthrough.{node}`" if node != parts.id else ""
    changed = ", as they are before the `map` after the step" if parts.after is not None else ""
    ledger.todo_if(renamed or changed, path, printable(message + renamed + changed))


def _continue_on_error(ledger: Ledger, path: Path, value: Any, parts: NodeParts) -> None:
    if value in (True, "true", "on"):
        parts.use["on_error"] = "skip"
        message = "it became `on_error: skip`: the message is left out, where the connector sent an empty one on"
        ledger.info(path, message)
    else:
        ledger.info(path, "it is off, as it is here")


def _transforms(ledger: Ledger, path: Path, parts: NodeParts, why_no_map: str | None) -> None:
    settings = ledger.get(path)
    apply = str(settings.get("applyTransform") or "")
    last = "secondTransformFunction" if settings.get("secondTransformFunction") else "transformFunction"
    before, after = apply in ("before", "both"), apply in ("after", "both")
    if before:
        parts.before = _transform(ledger, (*path, "transformFunction"), "before", why_no_map)
    if after:
        parts.after = _transform(ledger, (*path, last), "after", None)
    if "applyTransform" in settings:
        if apply and not before and not after:
            ledger.todo((*path, "applyTransform"), "it is not before, after or both, so OIH did nothing")
        else:
            ledger.info((*path, "applyTransform"), "the steps of `map` are there" if apply else "it is empty")
    used = {"transformFunction"} if before else set()
    used |= {last} if after else set()
    for key in _TRANSFORMS[1:]:
        if key in settings and (key not in used or not settings[key]):
            ledger.info((*path, key), "applyTransform does not ask for it" if settings[key] else "it is empty")


def _transform(ledger: Ledger, path: Path, when: str, why_no_map: str | None) -> str | None:
    source = ledger.get(path)
    if source is None or source == "":
        return None
    if why_no_map is not None:
        ledger.todo(path, why_no_map)
        return None
    if not isinstance(source, str) or "\0" in source:
        ledger.todo(path, "it is no text, so it is no transform; OIH let messages through unchanged, and so does this")
        return None
    if has_secret(source):
        ledger.secret(
            path, "a text in it looks like a secret; the `map` step fails until the transform is written there"
        )
        return LEFT_OUT
    try:
        made = as_map(source)
    except BadTransform as error:
        message = f"{printable(str(error))}; OIH let messages through unchanged, and so does this flow"
        ledger.todo(path, message)
        return None
    what = "it changes nothing, so no step was made" if made.map is None else f"it is the `map` step {when} this one"
    ledger.todo_if(made.warnings, path, "; ".join([what, *made.warnings]))
    return made.map
