"""Whether credentials are right: the request of the manifest that shows it."""

from __future__ import annotations

from collections.abc import Mapping

from flowmate_airflow.auth.answers import is_busy, metadata, parsed, pause, said
from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.auth.http import Answer
from flowmate_airflow.auth.placing import sent_with_credential
from flowmate_airflow.catalog.authmethod import AuthMethod


def verify(method: AuthMethod, account: Account, values: Mapping[str, str]) -> dict[str, str]:
    """Send the method's request, with the credentials, and return what it tells, by the part that keeps it.

    :param account: the Connection as a task gets it, with fresh credentials
    :param values: what `{name}` stands for
    :raises LoginError: they are wrong (`refused`), or it could not be found out
    """
    if method.verify is None:
        return {}
    found = {name: account.part(part) for name, part in method.parts.items()}
    credentials = {name: str(value) for name, value in found.items() if isinstance(value, (str, int))}
    # What a login needs is none of this request's business.
    public = {name: value for name, value in values.items() if name not in method.login_parts}
    answer = sent_with_credential(method, method.verify, account, {**public, **credentials})
    if answer.status >= 400:
        raise _refused(answer, [*credentials.values(), account.password])
    return metadata(parsed(answer.content), method.verify.account, answer.host)


def _refused(answer: Answer, secrets: list[str | None]) -> LoginError:
    more = said(parsed(answer.content), secrets)
    text = f"{answer.host} answered {answer.phrase}" + (f": {more}" if more else "")
    if answer.status in (401, 403):
        return LoginError(f"the credentials are not right: {text}", "refused")
    if is_busy(answer):
        return LoginError(text, "transient", pause(answer))
    return LoginError(f"the request that shows whether the credentials are right is answered otherwise: {text}")
