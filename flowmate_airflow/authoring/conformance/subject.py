"""The connector under examination, and the runs that several checks look at."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flowmate_airflow.auth.credentials import METHOD_KEY, Account, secrets_of
from flowmate_airflow.authoring.conformance.inputs import Inputs, secret_names, texts_in
from flowmate_airflow.authoring.conformance.report import Failed, Skipped
from flowmate_airflow.authoring.conformance.seen import Seen
from flowmate_airflow.authoring.conformance.session import Cut, Session
from flowmate_airflow.authoring.images import ImageFacts
from flowmate_airflow.catalog.auth import RENEWED
from flowmate_airflow.catalog.manifest import Function, Manifest
from flowmate_airflow.protocols.base import RENEWS, Item, Request
from flowmate_airflow.protocols.streams import Load, SelectedStream, Stream
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.conversations import has_streams
from flowmate_airflow.steps.errors import StepError

VERB_SECONDS = 120.0
"""How long a component may take to answer."""


@dataclass(slots=True)
class Subject:
    """A connector and what it is run with.

    :param good: what works
    :param bad: what must not work; None: made of the good, with wrong secrets
    :param facts: the image's settings, where there is an image
    :param seconds: how long a run may take
    """

    session: Session
    good: Inputs
    bad: Inputs | None = None
    facts: ImageFacts | None = None
    seconds: float = 600.0
    marker: str = field(default_factory=lambda: f"flowmate-marker-{secrets.token_hex(8)}")
    _kept: dict[str, Seen] = field(default_factory=dict)
    _told: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        names = secret_names(self.manifest)
        for name, value in (self.good.credentials or {}).items():
            if name in names:
                self._watch_for(value, name)
        self._watch_for(self.marker, "a marker in place of the secrets")

    def _watch_for(self, value: Any, name: str) -> None:
        for text in texts_in(value):
            for form in secrets_of(Account("check", password=text)):
                self.session.secrets.setdefault(form.encode(errors="replace"), name)

    @property
    def manifest(self) -> Manifest:
        """The connector's manifest."""
        return self.session.manifest

    @property
    def is_streams(self) -> bool:
        """Whether it is a source that lists its streams."""
        return has_streams(self.manifest)

    def function(self, name: str) -> Function:
        """Return a function's manifest."""
        found = self.manifest.function(name)
        assert found is not None
        return found

    def needs_more(self, name: str) -> str | None:
        """Return why a function cannot be run with what was given, None when it can."""
        if self.needs_credentials() is not None:
            return self.needs_credentials()
        missing = [each for each in self.function(name).required if each not in self._config(self.good, name)]
        if missing:
            return f"`{name}` needs {', '.join(f'`{each}`' for each in missing)}: give it with --config"
        return None

    def needs_credentials(self) -> str | None:
        """Return why nothing can be run with what was given, None when it can."""
        auth = self.manifest.auth.values()
        if self.good.credentials is None and auth and all(method.required for method in auth):
            return "it needs credentials: give them with --connection or --config"
        return None

    def wrong(self) -> Inputs | None:
        """Return inputs that must not work, None when no credentials are known that could be wrong."""
        return self.bad if self.bad is not None else self.marked() if self.has_secrets() else None

    def has_secrets(self) -> bool:
        """Whether it was given secrets, or cannot do without any."""
        names = secret_names(self.manifest)
        given = names.intersection(self.good.credentials or ())
        return bool(given) or (bool(names) and self.needs_credentials() is not None)

    def marked(self) -> Inputs:
        """Return the good inputs with a marker in place of each secret."""
        names = secret_names(self.manifest)
        given = self.good.credentials or {}
        required = {name for method in list(self.manifest.auth.values())[:1] for name in method.required}
        marked = {name: self.marker if name in names else value for name, value in given.items()}
        for name in required - set(marked):
            marked[name] = self.marker if name in names else "flowmate"
        if not set(marked) & names:
            marked[min(names)] = self.marker
        return Inputs(marked, self.good.config, self.good.messages)

    def ask(self, verb: Any, inputs: Inputs | None = None, what: str | None = None) -> Seen:
        """Ask the component with a verb other than `run`."""
        request = self._request(next(iter(self._functions())), inputs or self.good, verb=verb)
        return self.session.run(what or f"`{verb}`", request, seconds=min(VERB_SECONDS, self.seconds))

    def run(
        self,
        what: str,
        name: str,
        *,
        inputs: Inputs | None = None,
        items: Iterable[Item] = (),
        cut: Cut | None = None,
        calls: str | None = None,
        **request: Any,
    ) -> Seen:
        """Run a function.

        :param calls: another name in the image than the manifest's
        """
        made = self._request(name, inputs or self.good, calls=calls, **request)
        return self.session.run(what, made, items, seconds=self.seconds, cut=cut)

    def once(self, key: str, make: Callable[[], Seen]) -> Seen:
        """Return the run of that key, made when it is first asked for."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def streams(self) -> list[Stream]:
        """Return the streams that a source lists.

        :raises Failed: it lists none
        :raises Skipped: it cannot be asked
        """
        why = self.needs_more("read")
        if why is not None:
            raise Skipped(why)
        seen = self.once("discover", lambda: self.ask("discover"))
        problem = seen.problem()
        if problem is not None:
            raise self._first("discover", f"`discover`: {problem}")
        if seen.catalog is None:
            raise self._first("discover", "`discover` gave no catalog")
        if not seen.catalog:
            raise self._first("discover", "`discover` gave a catalog without a stream")
        return seen.catalog

    def selected(self, *, incremental: bool = False) -> list[SelectedStream] | None:
        """Return all streams as wanted, None for a component that has no say.

        :param incremental: read those incrementally that can be, and no others
        """
        if not self.is_streams:
            return None
        streams = self.streams()
        if not incremental:
            return [SelectedStream(stream) for stream in streams]
        return [SelectedStream(each, mode="incremental", cursor=each.cursor) for each in streams if each.incremental]

    def read(self, name: str) -> Seen:
        """Return the first full read of a trigger, shared by all checks.

        :raises Failed: it did not end well
        :raises Skipped: it cannot be run
        """
        why = self.needs_more(name)
        if why is not None:
            raise Skipped(why)
        selected = self.selected()
        seen = self.once(f"read {name}", lambda: self.run(f"`{name}`, read in full", name, selected=selected))
        problem = seen.problem()
        if problem is not None:
            raise self._first(f"read {name}", f"`{name}`: {problem}")
        return seen

    def for_each(self, names: Sequence[str], check: Callable[[str], str | None]) -> str | None:
        """Make a check for each function; one that fails counts, and all must be skipped for the check to be.

        :raises Failed: it failed for one
        :raises Skipped: it was skipped for all
        """
        told: list[str] = []
        failed: list[str] = []
        skipped: list[str] = []
        for name in names:
            try:
                note = check(name)
            except Failed as error:
                failed.append(str(error))
            except Skipped as error:
                skipped.append(str(error))
            else:
                told.append(f"`{name}`: {note}" if note and len(names) > 1 else note or "")
        if failed:
            raise Failed("\n".join(failed[:10]))
        if len(skipped) == len(names):
            raise Skipped("\n".join(dict.fromkeys(skipped)))
        return "\n".join(each for each in [*told, *dict.fromkeys(skipped)] if each) or None

    def _first(self, key: str, text: str) -> Exception:
        """Return the failure of what several checks need: it counts once."""
        if key in self._told:
            return Skipped(f"it needs what failed above: {text}")
        self._told.add(key)
        return Failed(text)

    def _functions(self) -> Sequence[str]:
        return [*self.manifest.triggers, *self.manifest.actions]

    def _config(self, inputs: Inputs, name: str) -> Mapping[str, Any]:
        return {**self.manifest.defaults, **inputs.config.get(name, {})}

    def _request(self, name: str, inputs: Inputs, *, calls: str | None = None, **request: Any) -> Request:
        verb = request.pop("verb", "run")
        call = StepCall(
            self.manifest,
            f"{self.manifest.name}/{name}",
            StepRun("connectors_check", "check", "check"),
            config=inputs.config.get(name, {}),
            changed=inputs.credentials or {},
            state=request.pop("state", None),
            load=request.pop("load", Load()),
        )
        try:
            made = call.request(request.pop("selected", None), request.pop("incoming", ()), verb)
        except StepError as error:
            raise Skipped(str(error).replace("step `check`: after rendering, ", "")) from None
        if verb == "run" and self._renews(inputs):
            made = replace(made, context={**made.context, RENEWS: True})
        return made if calls is None else replace(made, function=calls)

    def _renews(self, inputs: Inputs) -> bool:
        """Whether the component may ask for new credentials, as it may in a flow."""
        methods = self.manifest.auth
        named = (inputs.credentials or {}).get(METHOD_KEY)
        method = next(iter(methods.values())) if named is None and len(methods) == 1 else methods.get(str(named))
        return not self.manifest.is_foreign and bool(inputs.credentials) and isinstance(method, RENEWED)
