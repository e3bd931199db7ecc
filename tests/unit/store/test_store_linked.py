"""Which tenant has linked which connector, and who uses whose credentials."""

from __future__ import annotations

from typing import Any

import pytest
from store_workers import at_once

from flowmate_airflow.store import linked
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.linked import Linked, SymlinkError
from flowmate_airflow.store.store import Store, open_store


def new(tenant: str, connector: str = "shop", **values: Any) -> Linked:
    return Linked(**{"tenant": tenant, "connector": connector, "method": "key", **values}, conn_id=f"c.{tenant}")


def save(store: Store, *tenants: str, connector: str = "shop", **values: Any) -> None:
    for tenant in tenants:
        linked.save(store, new(tenant, connector, **values))


def names(found: list[Linked]) -> list[str]:
    return [f"{each.tenant}/{each.connector}" for each in found]


def test_a_link_is_kept_and_found(store: Store) -> None:
    made = linked.save(store, new("acme"))
    assert made == linked.find(store, "acme", "shop")
    assert (made.conn_id, made.method, made.problem, made.checked_at) == ("c.acme", "key", None, None)
    assert made.created_at is not None
    assert linked.find(store, "acme", "other") is None
    save(store, "bcme", "acme", connector="erp")
    assert names(linked.of_tenant(store, "acme")) == ["acme/erp", "acme/shop"]
    assert names(linked.of_connector(store, "erp")) == ["acme/erp", "bcme/erp"]
    assert names(linked.find_all(store)) == ["acme/erp", "acme/shop", "bcme/erp"]


def test_a_relink_keeps_the_field_map_and_the_age_and_forgets_what_was_wrong(store: Store) -> None:
    first = linked.save(store, new("acme"))
    assert linked.set_field_map(store, "acme", "shop", {"orders": ["id"]})
    assert linked.note_check(store, "acme", "shop", "no such key" * 200)
    bad = linked.find(store, "acme", "shop")
    assert bad is not None
    assert bad.problem is not None
    assert len(bad.problem) == linked.MAX_PROBLEM
    assert bad.checked_at is not None
    again = linked.save(store, new("acme", method="token"))
    assert (again.method, again.problem, again.checked_at) == ("token", None, None)
    assert (again.field_map, again.created_at) == ({"orders": ["id"]}, first.created_at)
    assert linked.save(store, new("acme", field_map={"orders": "*"})).field_map == {"orders": "*"}
    assert linked.set_field_map(store, "acme", "shop", None)
    found = linked.find(store, "acme", "shop")
    assert found is not None
    assert found.field_map is None


def test_nothing_is_said_of_a_link_that_is_not_there(store: Store) -> None:
    assert not linked.note_check(store, "acme", "shop", None)
    assert not linked.set_field_map(store, "acme", "shop", {"orders": "*"})
    assert not linked.set_method(store, "acme", "shop", "key")
    assert linked.remove(store, "acme", "shop") is None
    assert linked.users_of(store, "acme", "shop") == []


def test_tenants_who_have_linked_all_connectors(store: Store) -> None:
    save(store, "acme", "bcme", "ccme", "default")
    save(store, "acme", "ccme", "default", connector="erp")
    assert linked.tenants_with(store, ["shop", "erp"]) == ["acme", "ccme"]
    assert linked.tenants_with(store, ["shop", "shop"]) == ["acme", "bcme", "ccme"]
    assert linked.tenants_with(store, ["shop", "erp", "mail"]) == []
    assert linked.tenants_with(store, []) == []


def test_a_symlink_has_the_conn_id_of_the_other_link(store: Store) -> None:
    save(store, "acme")
    made = linked.save(store, new("bcme", symlink=("acme", "shop")))
    assert (made.conn_id, made.symlink) == ("c.acme", ("acme", "shop"))
    linked.save(store, new("acme", "erp", symlink=("acme", "shop")))
    assert names(linked.users_of(store, "acme", "shop")) == ["acme/erp", "bcme/shop"]
    assert linked.users_of(store, "bcme", "shop") == []
    assert linked.tenants_with(store, ["shop"]) == ["acme", "bcme"]


def test_symlinks_to_nothing_in_a_loop_or_in_a_chain_are_refused(store: Store) -> None:
    save(store, "acme", "bcme")
    with pytest.raises(SymlinkError, match="the tenant nobody has not linked shop"):
        linked.save(store, new("ccme", symlink=("nobody", "shop")))
    linked.save(store, Linked("default", "shop", "", ""))
    with pytest.raises(SymlinkError, match="the tenant default has not linked shop"):
        linked.save(store, new("ccme", symlink=("default", "shop")))
    linked.remove(store, "default", "shop")
    with pytest.raises(SymlinkError, match="cannot use its own credentials"):
        linked.save(store, new("acme", symlink=("acme", "shop")))
    linked.save(store, new("ccme", symlink=("acme", "shop")))
    with pytest.raises(SymlinkError, match="uses those of acme/shop itself; name that"):
        linked.save(store, new("dcme", symlink=("ccme", "shop")))
    with pytest.raises(SymlinkError, match="are used by ccme/shop") as caught:
        linked.save(store, new("acme", symlink=("bcme", "shop")))
    assert caught.value.users == (("ccme", "shop"),)
    with pytest.raises(SymlinkError):
        linked.save(store, new("acme", symlink=("ccme", "shop")))
    assert names(linked.find_all(store)) == ["acme/shop", "bcme/shop", "ccme/shop"]


def test_a_link_whose_credentials_others_use_is_removed_by_force_only(store: Store) -> None:
    save(store, "acme", "zcme")
    save(store, *(f"t{number:02}" for number in range(12)), symlink=("acme", "shop"))
    with pytest.raises(SymlinkError, match=r"used by t00/shop, .*t09/shop and 2 more"):
        linked.remove(store, "acme", "shop")
    assert linked.remove(store, "t00", "shop") is not None
    removed = linked.remove(store, "acme", "shop", force=True)
    assert removed is not None
    assert removed.tenant == "acme"
    assert names(linked.find_all(store)) == ["zcme/shop"]


def test_a_field_map_without_end_is_refused(store: Store) -> None:
    save(store, "acme")
    with pytest.raises(StoreError, match="the field map of the link of the tenant acme to shop is too large"):
        linked.set_field_map(store, "acme", "shop", {"orders": ["x" * linked.MAX_FIELD_MAP]})


def use(url: str, tenant: str, of: str) -> str:
    return linked.save(open_store(url), new(tenant, symlink=(of, "shop"))).conn_id


def drop(url: str, tenant: str) -> str:
    return "removed" if linked.remove(open_store(url), tenant, "shop") else "nothing"


def test_two_that_want_each_others_credentials_at_once_make_no_loop(store: Store, url: str) -> None:
    for _ in range(5):
        save(store, "acme", "bcme")
        answers = at_once(use, [(url, "acme", "bcme"), (url, "bcme", "acme")])
        assert len([answer for answer in answers if answer.startswith("SymlinkError")]) == 1, answers
        assert len([each for each in linked.find_all(store) if each.symlink]) == 1
        linked.remove(store, "acme", "shop", force=True)
        linked.remove(store, "bcme", "shop", force=True)


def test_no_symlink_is_left_to_a_link_that_is_removed_meanwhile(store: Store, url: str) -> None:
    for number in range(5):
        save(store, "acme")
        used, removed = at_once(lambda work, *args: work(url, *args), [(use, f"t{number}", "acme"), (drop, "acme")])
        left = names(linked.find_all(store))
        if removed == "removed":
            assert "has not linked" in used
            assert left == []
        else:
            assert "are used by" in removed
            assert left == ["acme/shop", f"t{number}/shop"]
            linked.remove(store, "acme", "shop", force=True)


def test_linking_again_is_told_from_other_changes(store: Store) -> None:
    first = linked.save(store, Linked("acme", "shop", "c.acme", "key"))
    linked.set_field_map(store, "acme", "shop", {"orders": ["id"]})
    linked.note_check(store, "acme", "shop", "it is down")
    changed = linked.find(store, "acme", "shop")
    assert changed is not None
    assert changed.linked_at == first.linked_at is not None
    again = linked.save(store, Linked("acme", "shop", "c.acme", "key"))
    assert again.linked_at is not None
    assert again.linked_at > first.linked_at
    assert again.created_at == first.created_at
