"""The pages of the command line are those of its commands."""

from __future__ import annotations

import re
from pathlib import Path

from micro.cli.help import COMMANDS
from micro.cli.pages import pages

FOLDER = Path(__file__).parents[2] / "docs" / "cli"


def test_the_pages_are_what_the_commands_say():
    written = {path.name: path.read_text() for path in FOLDER.iterdir()}
    stale = sorted(name for name, text in pages().items() if written.get(name) != text)
    assert stale == [], "make docs"
    assert sorted(written) == sorted(pages()), "make docs"


def test_every_command_and_subcommand_has_a_section_with_its_options():
    made = pages()
    assert {f"{name}.md" for name in COMMANDS} < set(made)
    assert "\n## micro store read\n\nPrint the value under KEY.\n" in made["store.md"]
    assert "| `--table value`, `-t value` |" in made["store.md"]
    assert "## micro store blob" in made["store.md"]
    assert "```sh\nmicro call helloworld Helloworld.Call" in made["call.md"]


def test_every_link_leads_to_a_file():
    for name, text in pages().items():
        for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
            assert (FOLDER / target).exists(), f"{name}: {target}"
