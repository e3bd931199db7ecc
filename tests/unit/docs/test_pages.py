"""What the documentation shows is true: its flows load, its commands exist, its links lead somewhere."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pages import PAGES, ROOT, Block, anchors, blocks, inline_code, links, prose, shown

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.catalog.reader import read_manifest
from flowmate_airflow.cli.commands import COMMANDS, Group
from flowmate_airflow.cli.main import make_parser
from flowmate_airflow.flows.load import read_flow
from flowmate_airflow.provider_info import OPTIONS

YAML = blocks("yaml")
FLOWS = [block for block in YAML if "fragment" not in block.info and "flowmate:" in block.text]
MANIFESTS = [block for block in YAML if "fragment" not in block.info and re.search(r"^connector:", block.text, re.M)]
SHELL = blocks("sh", "console")
COMMAND_PATHS = {entry.name for entry in COMMANDS} | {
    f"{entry.name} {command.name}" for entry in COMMANDS if isinstance(entry, Group) for command in entry.commands
}
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def by_place(block: Block) -> str:
    return block.place


@pytest.mark.parametrize("block", FLOWS, ids=by_place)
def test_a_flow_loads_without_a_problem(block: Block, catalog: Catalog) -> None:
    loaded = read_flow(block.text.encode(), Path("example.yaml"), catalog, name=block.place)
    assert loaded is not None


@pytest.mark.parametrize("block", MANIFESTS, ids=by_place)
def test_a_manifest_is_valid(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "connector.yaml"
    path.write_text(block.text, encoding="utf-8")
    assert isinstance(read_manifest(path), Manifest)


@pytest.mark.parametrize("block", YAML, ids=by_place)
def test_yaml_is_a_flow_a_manifest_or_called_a_fragment(block: Block) -> None:
    assert yaml.safe_load(block.text) is not None
    assert block in FLOWS or block in MANIFESTS or block.info == ("yaml", "fragment")


@pytest.mark.parametrize("block", [b for b in YAML if "fragment" in b.info], ids=by_place)
def test_a_fragment_fits_into_a_flow(block: Block, catalog: Catalog) -> None:
    value = yaml.safe_load(block.text)
    whole = {"flowmate": 1, **(value if isinstance(value, dict) else {"steps": value})}
    first = {"id": "first_of_all", "use": "files/read", "with": {"path": "a.csv"}}
    whole["steps"] = [first, *whole.get("steps", [])]
    assert read_flow(yaml.safe_dump(whole).encode(), Path("example.yaml"), catalog, name=block.place) is not None


@pytest.mark.parametrize("block", blocks("json"), ids=by_place)
def test_json_is_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", blocks("python"), ids=by_place)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


def command_lines(block: Block) -> list[str]:
    """Return the commands of a block: of a console those after the prompt, with continued lines put together."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        return [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.startswith("#")]


def calls(line: str, program: str) -> list[list[str]]:
    """Return the arguments of each call of a program in a line of shell, up to a pipe, a redirection or a comment."""
    found = []
    for part in re.split(r"&&|\|(?=\s)|;", line):
        words = shlex.split(part, comments=True)
        while words and (re.fullmatch(r"[A-Z_]+=.*", words[0]) or words[0] == "airflow"):
            words.pop(0)
        if words and Path(words[0]).name == program:
            end = next((place for place, word in enumerate(words) if re.match(r"[0-9]?[<>]", word)), len(words))
            found.append(words[1:end])
    return found


@pytest.mark.parametrize("block", SHELL, ids=by_place)
def test_every_command_is_understood(block: Block) -> None:
    for line in command_lines(block):
        for arguments in calls(line, "flowmate"):
            make_parser().parse_args(arguments)  # ends the test with SystemExit when it is wrong
        for arguments in calls(line, "make"):
            assert TARGETS.issuperset(word for word in arguments if "=" not in word), line


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_command_in_a_sentence_exists(page: Path) -> None:
    for code in inline_code(page):
        words = code.split()
        if words[:2] == ["airflow", "flowmate"]:
            words = words[1:]
        if words[0] == "make" and len(words) > 1:
            assert words[1] in TARGETS, code
        if words[0] == "flowmate" and len(words) > 1 and words[1] != "…":
            assert words[1] in COMMAND_PATHS, code
            if len(words) > 2 and words[1] in ("connectors", "new"):
                assert " ".join(words[1:3]) in COMMAND_PATHS, code


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_option_of_the_configuration_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"\[flowmate\] ([a-z_]+)", text))
    named |= {name.lower() for name in re.findall(r"AIRFLOW__FLOWMATE__([A-Z_]+)", text)} - {"name"}
    assert named <= set(OPTIONS)


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), link
        assert path.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(path), link


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_no_page_names_a_file_of_the_repository_that_is_not_there(page: Path) -> None:
    for code in inline_code(page):
        if re.fullmatch(r"(?:scripts|docs|dags|connectors|tests)/[\w./-]+[\w]", code):
            assert (ROOT / code).exists(), code


def test_every_picture_is_shown_somewhere() -> None:
    told = "\n".join(prose(page) for page in PAGES)
    pictures = sorted((ROOT / "docs" / "images").iterdir())
    assert pictures
    assert [picture.name for picture in pictures if f"images/{picture.name}" not in told] == []


def test_the_example_of_the_readme_is_the_example_that_is_shipped(catalog: Catalog) -> None:
    shipped = read_flow((ROOT / "dags/flows/countries.yaml").read_bytes(), Path("countries.yaml"), catalog)
    first = next(block for block in FLOWS if block.page.name == "README.md" and block.page.parent == ROOT)
    told = read_flow(first.text.encode(), Path("countries.yaml"), catalog)
    assert shipped is not None
    assert told is not None
    assert shipped.flow_id == told.flow_id
    uses = [getattr(step, "use", "map") for step in shipped.flow.steps]
    assert uses[: len(told.flow.steps)] == [getattr(step, "use", "map") for step in told.flow.steps]


def test_the_loader_of_the_readme_is_the_one_that_is_shipped() -> None:
    shipped = (ROOT / "dags" / "flowmate.py").read_text(encoding="utf-8")
    assert shipped in [block.text for block in blocks("python") if block.page == ROOT / "README.md"]


def test_the_generated_pages_are_up_to_date() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "reference"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
