"""What a reviewer reads is what the case says; what does not fit its schema is refused with its place."""

from pathlib import Path

import pytest

from spillguard.case.command import main
from spillguard.case.files import FOLDER, load
from tests.assurance.copies import checked, edited


@pytest.mark.parametrize("page", ["safety_case.md", "promises.md"])
def test_a_page_that_was_changed_by_hand(
    page: str, root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "docs" / page
    path.write_text(path.read_text() + "It is perfectly safe.\n")
    assert checked(root, capsys, passed) == [
        f"docs/{page}: not what docs/assurance says: spillguard case build"
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "- {id: L-x, text: a loss of something, colour: red}",
            "losses.yaml: Object contains unknown field `colour`",
        ),
        ("- {id: L-x}", "losses.yaml: Object missing required field `text` - at `$[0]`"),
        ("- {id: H-x, text: a loss of something}", "losses.yaml: Expected `str` matching regex"),
        ("- {id: L-x, text: 3}", "losses.yaml: Expected `str`, got `int`"),
        ("- [", "losses.yaml: "),
    ],
)
def test_what_does_not_fit_the_schema_is_told_with_its_place(
    text: str, told: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / FOLDER / "losses.yaml").write_text(text)
    assert main(["check", "--root", str(root)]) == 1
    assert told in capsys.readouterr().err


def test_a_file_that_no_kind_is_in_and_a_root_that_is_none(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / FOLDER / "wishes.yaml").write_text("[]")
    assert main(["check", "--root", str(root)]) == 1
    assert "wishes.yaml: unknown file" in capsys.readouterr().err
    assert main(["check", "--root", str(tmp_path)]) == 1
    assert "no such folder" in capsys.readouterr().err


def test_the_page_begins_with_what_is_left(root: Path) -> None:
    headings = [
        line for line in (root / "docs/safety_case.md").read_text().splitlines() if line.startswith("## ")
    ]
    assert headings[:2] == ["## What is left", "## What speaks against the case"]


def test_every_promise_has_its_row(root: Path) -> None:
    text = (root / "docs/promises.md").read_text()
    for promise in load(root).promises:
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {promise.id} |")]
        assert all(f"`{test}`" in row for test in promise.tests)


def test_no_page_is_made_of_a_broken_case(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edited(root, "requirements", lambda data: data[0]["rules"].append("TELEPATHY"))
    assert main(["build", "-o", str(root / "pages"), "--root", str(root)]) == 1
    assert "SR-limits: rules names TELEPATHY" in capsys.readouterr().err
    assert not (root / "pages").exists()
