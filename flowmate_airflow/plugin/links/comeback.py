"""The page that providers send people back to."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from fastapi import Depends, Request
from fastapi.responses import Response

from flowmate_airflow.auth import consents
from flowmate_airflow.auth.errors import Denied, LoginError
from flowmate_airflow.auth.following import follow
from flowmate_airflow.auth.returns import ReturnError, checked_return, with_outcome
from flowmate_airflow.plugin.links.browsers import forget_cookie
from flowmate_airflow.plugin.links.consents import Returned, WayBack, complete, login_cookie, login_path, way_back
from flowmate_airflow.plugin.links.errors import PageError
from flowmate_airflow.plugin.links.forms import STATUS, went_well
from flowmate_airflow.plugin.links.pages import catalog, message, refused
from flowmate_airflow.plugin.links.people import Person, maybe_user
from flowmate_airflow.settings import SettingError
from flowmate_airflow.store.errors import StoreError

_user: Any = Depends(maybe_user)


def come_back(request: Request, connector: str, context: str, user: BaseUser | None = _user) -> Response:
    """Finish a login that began here."""
    try:
        response = _answer(request, connector, context, user)
    except PageError as error:
        response = refused(request, error)
    state = request.query_params.get(consents.STATE)
    if state and login_cookie(state) in request.cookies:
        forget_cookie(request, response, login_cookie(state), login_path(request))
    return response


def _answer(request: Request, connector: str, context: str, user: BaseUser | None) -> Response:
    way = way_back(request, connector, context, user)
    again = (way.again(), "Try again")
    try:
        found = complete(way)
    except Denied:
        text = "You were asked whether your account may be used, and said no. Nothing was linked."
        return message(request, 403, "You did not allow it", text, [again, *_onward(way, "denied")])
    except LoginError as error:
        return message(request, STATUS[error.kind], "This did not work", error.text, [again, *_onward(way, "failed")])
    except StoreError as error:
        return message(request, 503, "This could not be kept", str(error), [again])
    follow(catalog(), way.login.tenant, connector)
    if found.less:
        return _with_less(request, way, found)
    return went_well(request, way.person, connector, is_form=False)


def _with_less(request: Request, way: WayBack, found: Returned) -> Response:
    text = (
        f"It is linked, but {found.manifest.title} allows less than was asked for. "
        f"What needs {', '.join(found.less)} will not work."
    )
    home = (way.person.home, "Go on")
    return message(request, 200, "Linked, with less access", text, [(way.again(), "Try again"), home])


def _onward(way: WayBack, status: str) -> list[tuple[str, str]]:
    """Return the link to where the person came from."""
    person: Person = way.person
    if person.return_to:
        try:
            return [(with_outcome(checked_return(person.return_to), way.login.connector, status), "Back")]
        except (ReturnError, SettingError):
            pass
    return [(person.home, "Back")]
