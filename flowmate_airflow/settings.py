"""FlowMate's options in Airflow's configuration, section `[flowmate]`.

Inside Airflow they are read by Airflow. The command line does not import Airflow for them (that takes seconds), so
there the environment variable `AIRFLOW__FLOWMATE__NAME` and `$AIRFLOW_HOME/airflow.cfg` are read directly, which are
the two places where Airflow itself looks first.
"""

from __future__ import annotations

import os
import sys
from configparser import ConfigParser
from configparser import Error as ConfigParserError
from functools import lru_cache
from pathlib import Path

from flowmate_airflow.provider_info import OPTIONS

SECTION = "flowmate"


class SettingError(Exception):
    """An option has a value that it cannot have."""


def setting(name: str) -> str:
    """Return the text of an option.

    :param name: an option of :data:`flowmate_airflow.provider_info.OPTIONS`
    """
    return _option(SECTION, name, str(OPTIONS[name]["default"] or ""))


def secret_setting(name: str) -> str:
    """Return an option that holds a secret: Airflow lets a command or a secrets backend give it.

    :param name: an option that is marked as sensitive
    """
    if any(_option(SECTION, f"{name}{suffix}", "") for suffix in ("_cmd", "_secret")):
        import airflow.configuration  # noqa: F401  from then on it is Airflow that is asked
    return setting(name).strip()  # what a command prints ends with a line's end


def ignore_syntax() -> str:
    """Return how `.airflowignore` is written, Airflow's `[core] dag_ignore_file_syntax`: `glob` or `regexp`."""
    return _option("core", "dag_ignore_file_syntax", "glob")


def dags_folder() -> Path:
    """Return Airflow's dags folder, `[core] dags_folder`."""
    return Path(_option("core", "dags_folder", str(airflow_home() / "dags"))).expanduser()


def api_base_url() -> str:
    """Return the address of Airflow's API server, `[api] base_url`; it is empty where nobody has set it."""
    return _option("api", "base_url", "")


def int_setting(name: str) -> int:
    """Return an option that is a whole number.

    :raises SettingError: it is not
    """
    text = setting(name)
    try:
        return int(text)
    except ValueError:
        raise SettingError(f"[{SECTION}] {name} is {text!r}, not a whole number") from None


def airflow_home() -> Path:
    """Return Airflow's home folder."""
    return Path(os.environ.get("AIRFLOW_HOME", "~/airflow")).expanduser()


def folder_setting(name: str, default: str) -> Path:
    """Return an option that is a folder; `default` is relative to Airflow's home."""
    text = setting(name)
    return Path(text).expanduser() if text else airflow_home() / default


def _option(section: str, name: str, default: str) -> str:
    if "airflow.configuration" in sys.modules:
        from airflow.configuration import conf

        return str(conf.get(section, name, fallback=default))
    from_environment = os.environ.get(f"AIRFLOW__{section.upper()}__{name.upper()}")
    return from_environment if from_environment is not None else _from_file(section, name, default)


def _from_file(section: str, name: str, default: str) -> str:
    path = Path(os.environ.get("AIRFLOW_CONFIG", airflow_home() / "airflow.cfg"))
    try:
        changed = path.stat().st_mtime_ns
    except OSError:
        return default
    return _parsed(path, changed).get(section, name, fallback=default)


@lru_cache(maxsize=1)
def _parsed(path: Path, _changed: int) -> ConfigParser:
    """Return Airflow's configuration file, read once for all options: it is long; an unreadable one has none."""
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (ConfigParserError, UnicodeDecodeError, OSError):
        return ConfigParser(interpolation=None)
    return parser
