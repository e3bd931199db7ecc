"""Writing a flow file, and reading it again before anybody relies on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from flowmate_airflow.flows.yamltext import Loader, parse
from flowmate_airflow.imports.report import ImportProblem


class _Dumper(yaml.SafeDumper):
    """Writes what our own reader takes: its scalars, no aliases, long texts as blocks.

    A text that a reader of YAML 1.1 would take for something else (`no`, a date) is quoted too.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in PyYAML
        first: [*Loader.yaml_implicit_resolvers.get(first, []), *yaml.SafeDumper.yaml_implicit_resolvers.get(first, [])]
        for first in {*Loader.yaml_implicit_resolvers, *yaml.SafeDumper.yaml_implicit_resolvers}
    }

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def flow_text(flow: dict[str, Any], comments: Sequence[str]) -> str:
    """Return the text of a flow file.

    :param comments: lines that stand above the flow
    :raises ImportProblem: the flow is more than a flow file may hold
    """
    body = yaml.dump(flow, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)
    text = "".join(f"# {line}".rstrip() + "\n" for line in comments) + body
    result = parse(text)
    if result.problems or result.value != flow:
        why = result.problems[0].message if result.problems else "it does not read the same again"
        raise ImportProblem(f"it cannot be written as a flow file: {why}")
    return text
