"""Messages that failed, found again in the input of their step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from flowmate_airflow.batches.batch import decoded
from flowmate_airflow.batches.message import Message
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.inputs import Input
from flowmate_airflow.steps.outcome import Failure
from flowmate_airflow.store.deadletters import DeadLetter


def letters_of(
    failures: Iterable[Failure], source: Input, run: StepRun, external_id: Callable[[Message], str | None]
) -> Iterator[DeadLetter]:
    """Yield a dead letter for each failure, with its message where that can be told.

    :param source: the step's input, which is read once more
    :param external_id: returns a message's own id
    """
    by_id: dict[str, Failure] = {}
    kept: dict[str, int] = {}
    by_external: dict[str, Failure] = {}
    nameless: list[Failure] = []
    for failure in failures:
        if failure.message_id is not None:
            by_id[failure.message_id] = failure
        elif failure.external_id is not None:
            by_external[failure.external_id] = failure
        else:
            nameless.append(failure)
    for line in source.read() if by_id or by_external else ():
        message = decoded(line)
        found = by_id.get(message["id"])
        if found is None and by_external:
            found = by_external.get(external_id(message) or "")
        if found is not None:
            # Several messages of one id are all kept: nobody knows which of them it was.
            name = found.message_id or found.external_id or ""
            kept[name] = number = kept.get(name, 0) + 1
            yield _letter(found, message, run, number)
    lost = [each for name, each in {**by_id, **by_external}.items() if name not in kept]
    for place, failure in enumerate([*lost, *nameless]):
        name = failure.message_id or failure.external_id or f"unknown-{place}"
        yield _letter(failure, {"id": name, "data": None}, run)


def _letter(failure: Failure, message: Message, run: StepRun, number: int = 1) -> DeadLetter:
    return DeadLetter(
        flow=run.flow,
        step=run.step,
        run_id=run.run_id,
        message_id=str(message["id"]) if number == 1 else f"{message['id']}#{number}",
        message=message,
        error=failure.text,
        failure_type=failure.failure_type,
        tenant=run.tenant,
    )
