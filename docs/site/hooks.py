"""Pages that say nothing a second time: sections of the README, and a reference made of the docstrings.

A line ``{{ README: Deploy }}`` stands for the section of that heading. Links of the README to files outside
docs/ become plain text: the site has no such page.
"""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
ROS = ROOT / "ros_ws/src"
PACKAGES = (
    ROS / "spillguard_core/spillguard_core", ROS / "spillguard_ros/spillguard_ros",
    ROS / "spillguard_sim/spillguard_sim", ROOT / "sim", ROOT / "policy_training",
)  # fmt: skip
WANTED = re.compile(r"^\{\{ README: (.+?) \}\}$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]*)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def section(heading: str) -> str:
    """What stands below a heading of the README. KeyError where there is none."""
    parts = re.split(r"^## (.+)$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    texts = {"": parts[0].partition("\n")[2], **dict(zip(parts[1::2], parts[2::2], strict=True))}
    return LINK.sub(_link, texts["" if heading == "(top)" else heading]).strip()


def _link(found: re.Match[str]) -> str:
    text, target, anchor = found[1], found[2], found[3] or ""
    if target.startswith(("http:", "https:")):
        return found[0]
    return f"[{text}]({target[5:]}{anchor})" if target.startswith("docs/") else text


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the README's sections in."""
    return WANTED.sub(lambda found: section(found[1]), markdown)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """One page of reference for every room, and a list of them."""
    listed = ["# Reference", ""]
    for package in PACKAGES:
        rooms = sorted({file.parent for file in package.rglob("*.py")})
        for room in rooms:
            name = ".".join(room.relative_to(package.parent).parts)
            modules = sorted(file.stem for file in room.glob("*.py") if file.stem != "__init__")
            doc = (room / "__init__.py").read_text().strip().strip('"').strip()
            lines = [f"# {name}", "", doc, "", *(f"::: {name}.{module}\n" for module in modules)]
            files.append(File.generated(config, f"reference/{name}.md", content="\n".join(lines)))
            listed.append(f"- [{name}]({name}.md): {' '.join(doc.split())}")
    files.append(File.generated(config, "reference/index.md", content="\n".join(listed)))
    return files
