"""The connector manifest, `connector.yaml`: what a connector can do and what it needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, model_validator

from flowmate_airflow.catalog.auth import AnyMethod
from flowmate_airflow.catalog.authmethod import JsonSchema
from flowmate_airflow.catalog.model import Model

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,63}$")]
"""A connector's name: lower case, a step's `use` starts with it."""
FunctionName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Size = Annotated[str, Field(pattern=r"^[1-9][0-9]*(k|m|g)$")]
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


class Events(Model):
    """How a trigger takes events that the other system sends, instead of asking for what is new."""

    scheme: str = Field(
        default="standard",
        pattern=r"^[a-z][a-z0-9_]{0,63}$",
        description="How the other system signs them; a flow's `webhook` may name another.",
    )
    options: dict[str, Any] = Field(default={}, description="What refines the scheme.")
    subscribes: bool = Field(
        default=True,
        description="The component registers the flow's address with the other system, and takes it back.",
    )


class Function(Model):
    """A trigger or an action."""

    calls: str | None = Field(
        default=None, min_length=1, description="The function's name in the image, where it is another one."
    )
    state: bool = Field(
        default=False,
        description="Remembers from run to run how far it read; kept when all steps that get its messages succeeded.",
    )
    webhook: Events | None = Field(
        default=None, description="A trigger that takes events: the first step of a flow that a webhook starts."
    )
    title: str = Field(description="What the function does, in a few words.")
    description: str = Field(default="", description="The same in a sentence or two.")
    fields: dict[str, JsonSchema] = Field(
        default={}, description="What a step may say under `with`: JSON Schema properties."
    )
    required: list[str] = Field(default=[], description="Fields a step must set.")
    input: JsonSchema | None = Field(default=None, alias="in", description="Schema of a message's data coming in.")
    output: JsonSchema | None = Field(default=None, alias="out", description="Schema of a message's data going out.")

    @model_validator(mode="after")
    def _required_fields_exist(self) -> Function:
        unknown = sorted(set(self.required) - set(self.fields))
        if unknown:
            raise ValueError(f"`required` names {', '.join(unknown)}, which `fields` does not have")
        return self


class ResourceLimits(Model):
    """What one container of the connector may use, and how far it can be locked down."""

    memory: Size = Field(default="512m", description="Of the container, swap included.")
    cpus: float = Field(default=1.0, gt=0, le=64, description="How many processors' time it gets.")
    pids: int = Field(default=256, ge=1, le=32768, description="How many processes and threads it may have.")
    message: Size = Field(default="32m", description="The largest single message.")
    read_only: bool = Field(default=False, description="Works with a read-only root file system and a writable /tmp.")
    user: str | None = Field(
        default=None, pattern=r"^[0-9]+(:[0-9]+)?$", description="Numeric user and group; default: the image's own."
    )


class PythonProcess(Model):
    """How the `process` runtime runs the connector without an image: by a module or a command."""

    module: str | None = Field(
        default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", description="Module in the connector's folder."
    )
    command: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="Command that one of the requirements brings.",
    )
    requirements: list[str] = Field(
        default=[], description="What is installed into the connector's virtual environment, as pip takes it."
    )

    @model_validator(mode="after")
    def _one_program(self) -> PythonProcess:
        if (self.module is None) == (self.command is None):
            raise ValueError("`process` needs either `module` or `command`")
        return self


class NodeImage(Model):
    """An image of a Node component for Open Integration Hub or elastic.io, which runs under FlowMate's runner."""

    folder: str | None = Field(
        default=None, description="The component's folder in the image. Default: the image's work folder."
    )
    dialect: Literal["auto", "sailor", "ferryman-1", "ferryman-2"] = Field(
        default="auto", description="Which SDK the component was written for; `auto` looks it up in the image."
    )
    timeout: float | None = Field(default=None, gt=0, description="Seconds that one message may take.")
    rebound_delay: float = Field(
        default=15.0, gt=0, description="Seconds before a message that rebounds is tried again; doubled each time."
    )
    rebound_limit: int = Field(default=20, ge=0, le=100, description="How often a message may rebound.")


class SingerImage(Model):
    """How a Singer tap or target takes its files."""

    catalog: Literal["catalog", "properties", "none"] = Field(
        default="catalog", description="The option by which a tap takes its catalog; `none` if it takes none."
    )
    discover: bool = Field(default=True, description="The tap can print a catalog of its streams.")
    state: bool = Field(default=True, description="Knows `--state`.")
    about: bool = Field(default=False, description="Knows `--about --format=json`.")
    load_method: bool = Field(default=False, description="A target that has the setting `load_method`.")


class Manifest(Model):
    """A connector."""

    connector: Literal[1] = Field(description="Version of the manifest's format.")
    name: Name = Field(description="Lower case; the folder has the same name, and a step's `use` starts with it.")
    version: str = Field(
        pattern=r"^[0-9]+(\.[0-9]+){0,2}([.-][0-9A-Za-z]+)*$",
        description="Of the connector; `use: name/function@1.4` asks for one.",
    )
    title: str = Field(description="What people call the other system.")
    description: str = Field(default="", description="A sentence or two.")
    icon: str | None = Field(default=None, description="An image file beside the manifest.")
    image: str = Field(min_length=1, description="The container image with its tag.")
    entrypoint: list[str] | None = Field(
        default=None, min_length=1, description="What is started in the image, instead of its own entry point."
    )
    protocol: Literal["component", "singer", "airbyte"] = Field(
        default="component", description="How FlowMate talks to the image."
    )
    node: NodeImage | None = Field(
        default=None, description="Protocol `component`: a Node component of Open Integration Hub or elastic.io."
    )
    singer: SingerImage = Field(default=SingerImage(), description="Protocol `singer`: what the tap or target knows.")
    defaults: dict[str, Any] = Field(
        default={}, description="Configuration that every step starts from; `with` and the credentials are stronger."
    )
    process: PythonProcess | None = Field(
        default=None, description="How to run the connector without an image, on the runtime `process`."
    )
    files: bool = Field(
        default=False,
        description="Reads or writes files: it gets the folder `[flowmate] files_folder`, in containers as /data.",
    )
    auth: dict[str, AnyMethod] = Field(default={}, description="Ways to authenticate; empty: none is needed.")
    triggers: dict[FunctionName, Function] = Field(
        default={}, description="Functions that get no messages and may start a flow, by name."
    )
    actions: dict[FunctionName, Function] = Field(default={}, description="Functions that get messages, by name.")
    limits: ResourceLimits = Field(default=ResourceLimits(), description="What one container may use.")

    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _functions_are_unique(self) -> Manifest:
        both = sorted(set(self.triggers) & set(self.actions))
        if both:
            raise ValueError(f"{', '.join(both)} is both a trigger and an action; give each its own name")
        if not self.triggers and not self.actions:
            raise ValueError("a connector needs a trigger or an action")
        wrong = sorted(name for name, action in self.actions.items() if action.webhook is not None)
        if wrong:
            raise ValueError(f"`webhook` is for triggers, and {', '.join(wrong)} is an action")
        return self

    @model_validator(mode="after")
    def _protocol_fits(self) -> Manifest:
        if self.protocol != "component":
            wrong = sorted((set(self.triggers) - {"read"}) | (set(self.actions) - {"write"}))
            if wrong:
                raise ValueError(
                    f"protocol `{self.protocol}` has the trigger `read` or the action `write`, not {', '.join(wrong)}"
                )
            if any(trigger.webhook is not None for trigger in self.triggers.values()):
                raise ValueError("`webhook` goes with the protocol `component` only")
        if self.node is not None and self.protocol != "component":
            raise ValueError("`node` goes with the protocol `component` only")
        if self.limits.read_only and (self.node is not None or self.protocol != "component"):
            raise ValueError("`limits.read_only` cannot be: FlowMate puts files into the container")
        return self

    def __repr__(self) -> str:
        # Airflow keeps the text of a mapped task's parameters with the DAG, and schemas are long.
        return f"Manifest({self.name!r}, {self.version!r})"

    __str__ = __repr__

    @property
    def folder(self) -> Path | None:
        """The folder the manifest was read from."""
        return self._folder

    @property
    def is_foreign(self) -> bool:
        """Whether the image was not made for FlowMate."""
        return self.protocol != "component" or self.node is not None

    def function(self, name: str) -> Function | None:
        """Return the trigger or action of that name."""
        return self.triggers.get(name) or self.actions.get(name)

    def keeps_state(self, name: str) -> bool:
        """Whether a function remembers from run to run how far it read."""
        function = self.function(name)
        reads = self.protocol != "component" and name in self.triggers
        return function is not None and (function.state or reads)


def size_in_bytes(size: str) -> int:
    """Return the bytes of a size such as `512m`."""
    match = re.fullmatch(r"([0-9]+)([kmg])", size)
    if match is None:
        raise ValueError(f"{size!r} is no size; write 64k, 512m or 2g")
    return int(match[1]) * _UNITS[match[2]]
