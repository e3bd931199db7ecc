"""What a step says under `with`, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from flowmate_connector import ConfigError

ABSENT: Final = object()
"""Stands for a body that the step does not say (null is one it can say)."""

PAGING_TYPES = ("link", "cursor", "offset", "page")
MIB = 1024 * 1024


@dataclass(frozen=True)
class Paging:
    """How to get from one page to the next; see the manifest for what the fields mean."""

    type: str
    path: str | None
    param: str
    limit_param: str | None
    size: int | None
    start: int
    max_pages: int | None

    @classmethod
    def of(cls, value: Any) -> Paging | None:
        """Return the paging of the field `paging`.

        :raises ConfigError: it is no valid paging
        """
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ConfigError("`paging` must be an object such as {type: link}")
        _refuse_unknown(value, {"type", "path", "param", "limit_param", "size", "start", "max_pages"}, "paging.")
        kind = value.get("type")
        if kind not in PAGING_TYPES:
            raise ConfigError(f"`paging.type` is {kind!r}, not one of {', '.join(PAGING_TYPES)}")
        if kind == "cursor" and not value.get("path"):
            raise ConfigError("`paging` of type cursor needs `path`: where the cursor lies in the response")
        size = _number(value, "size", 100 if kind == "offset" else None, low=1, prefix="paging.")
        limit_param = {"offset": "limit", "page": "per_page", "cursor": "limit"}.get(kind)
        return cls(
            type=kind,
            path=_text(value, "path", prefix="paging."),
            param=_text(value, "param", prefix="paging.") or kind,
            limit_param=(_text(value, "limit_param", prefix="paging.") or limit_param) if size else None,
            size=size,
            start=_number(value, "start", 1 if kind == "page" else 0, low=0, prefix="paging.") or 0,
            max_pages=_number(value, "max_pages", None, low=1, prefix="paging."),
        )


@dataclass(frozen=True)
class Settings:
    """The fields of all functions."""

    url: str
    headers: dict[str, str]
    query: dict[str, Any]
    records: str | None
    paging: Paging | None
    timeout: float
    retries: int
    max_bytes: int
    body: Any

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Settings:
        """Return the settings of a step's `with`.

        :raises ConfigError: a field has a value that does not fit, or is unknown
        """
        known = {"url", "headers", "query", "records", "paging", "timeout", "retries", "max_bytes", "body"}
        _refuse_unknown(config, known)
        url = _text(config, "url")
        if not url:
            raise ConfigError("the field `url` is missing")
        return cls(
            url=url,
            headers={str(name): _scalar(value) for name, value in _object(config, "headers").items()},
            query={str(name): _query_value(value) for name, value in _object(config, "query").items()},
            records=_text(config, "records"),
            paging=Paging.of(config.get("paging")),
            timeout=_number(config, "timeout", 30.0, low=0.001, convert=float) or 30.0,
            retries=_number(config, "retries", 4, low=0) or 0,
            max_bytes=_number(config, "max_bytes", 64 * MIB, low=1) or 64 * MIB,
            body=config.get("body", ABSENT),
        )


def _refuse_unknown(value: Mapping[str, Any], known: set[str], prefix: str = "") -> None:
    unknown = sorted(map(str, set(value) - known))
    if unknown:
        raise ConfigError(f"unknown field `{prefix}{unknown[0]}`; there are: {', '.join(sorted(known))}")


def _text(config: Mapping[str, Any], name: str, prefix: str = "") -> str | None:
    value = config.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"`{prefix}{name}` must be a text")
    return value


def _object(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = config.get(name) or {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"`{name}` must be an object of names and values")
    return value


def _number(
    config: Mapping[str, Any],
    name: str,
    default: Any,
    *,
    low: float,
    prefix: str = "",
    convert: Callable[[Any], Any] = int,
) -> Any:
    value = config.get(name)
    if value is None:
        return default
    # A value that a template filled in arrives as text.
    try:
        number = convert(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if isinstance(value, bool) or number is None or not number >= low:
        raise ConfigError(f"`{prefix}{name}` is {value!r}, not a number of at least {low}")
    return number


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _query_value(value: Any) -> Any:
    if value is None:
        return None
    return [_scalar(item) for item in value] if isinstance(value, list) else _scalar(value)
