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
        found = by_id.pop(message["id"], None)
        if found is None and by_external:
            found = by_external.pop(external_id(message) or "", None)
        if found is not None:
            yield _letter(found, message, run)
        if not by_id and not by_external:
            break
    for number, failure in enumerate([*by_id.values(), *by_external.values(), *nameless]):
        name = failure.message_id or failure.external_id or f"unknown-{number}"
        yield _letter(failure, {"id": name, "data": None}, run)


def _letter(failure: Failure, message: Message, run: StepRun) -> DeadLetter:
    return DeadLetter(
        flow=run.flow,
        step=run.step,
        run_id=run.run_id,
        message_id=str(message["id"]),
        message=message,
        error=failure.text,
        failure_type=failure.failure_type,
        tenant=run.tenant,
    )
