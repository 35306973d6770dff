"""`docs/monitor_states.md` and its picture, computed from the gate.

`python -m studies.monitor_states.page` writes both.
"""

import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path

from spillguard_core.gate.decision import GUARDED, Mode
from studies.monitor_states.states import events_table, services_table, suspensions_table, transitions

COMMAND = "python -m studies.monitor_states.page"
PAGE, PICTURE, NOTES = "monitor_states.md", "monitor_states.svg", "monitor_states.notes.md"
COMPOUND = "in one period"  # in the names of compound events
WIDTH, HEIGHT, LINE = 1180, 600, 15
BOXES = {
    Mode.STOPPED: (30, 60),
    Mode.HELD: (420, 60),
    Mode.FOLLOWING: (960, 60),
    Mode.TELEOP: (960, 480),
}
BOX = (150, 60)
WHAT = {
    Mode.STOPPED: "at rest, silent",
    Mode.HELD: "at rest, keeps its pose",
    Mode.FOLLOWING: "the policy drives",
    Mode.TELEOP: "the teleoperator drives",
}
# From, to: the arrow's path, where its label begins, and how it is aligned.
ARROWS = {
    (Mode.STOPPED, Mode.HELD): ("M180 75 H420", 190, 66, "start"),
    (Mode.HELD, Mode.FOLLOWING): ("M570 75 H960", 765, 66, "middle"),
    (Mode.FOLLOWING, Mode.HELD): ("M960 105 H570", 765, 122, "middle"),
    (Mode.HELD, Mode.TELEOP): ("M530 120 C560 330 700 500 960 500", 580, 205, "start"),
    (Mode.TELEOP, Mode.HELD): ("M960 525 C640 525 480 350 470 120", 425, 490, "start"),
    (Mode.FOLLOWING, Mode.TELEOP): ("M1035 120 V480", 1025, 250, "end"),
}
STOPPING = ("M410 185 C250 185 105 250 105 120", 30, 265)
FRAME = (410, 30, 740, 540)


def _text(x: float, y: float, lines: Sequence[str], anchor: str = "start", size: int = 12) -> str:
    spans = "".join(
        f'<tspan x="{x}" dy="{0 if i == 0 else LINE}">{escape(t)}</tspan>' for i, t in enumerate(lines)
    )
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{spans}</text>'


def _arrow(path: str) -> str:
    return f'<path d="{path}" fill="none" stroke="#444" stroke-width="1.5" marker-end="url(#head)"/>'


def _box(mode: Mode) -> str:
    (x, y), (width, height) = BOXES[mode], BOX
    rectangle = f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="#eef" stroke="#335"/>'
    middle = x + width / 2
    name = _text(middle, y + 26, [mode.name], "middle", 15)
    return rectangle + name + _text(middle, y + 46, [WHAT[mode]], "middle", 11)


def picture() -> str:
    """The state machine as SVG; labels are the events that change the mode, without the compound ones."""
    found = {
        pair: [name for name in names if COMPOUND not in name]
        for pair, names in transitions().items()
        if not all(COMPOUND in name for name in names)
    }
    moving = [mode for mode in GUARDED if mode is not Mode.STOPPED]
    stopping = [found.pop((mode, Mode.STOPPED)) for mode in moving]
    everywhere = [name for name in stopping[0] if all(name in names for names in stopping)]
    alone = [
        f"{name} ({mode.value} only)"
        for mode, names in zip(moving, stopping, strict=True)
        for name in names
        if name not in everywhere
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        'orient="auto"><path d="M0 0L10 5L0 10z" fill="#444"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        '<rect x="{}" y="{}" width="{}" height="{}" rx="12" fill="none" stroke="#999" '
        'stroke-dasharray="6 4"/>'.format(*FRAME),
    ]
    for pair, names in found.items():
        path, x, y, anchor = ARROWS[pair]
        parts += [_arrow(path), _text(x, y, names, anchor)]
    path, x, y = STOPPING
    parts += [_arrow(path), _text(x, y, [*everywhere, *alone])]
    parts += [_box(mode) for mode in GUARDED]
    return "\n".join([*parts, "</svg>", ""])


TEXT = """# States of the safety monitor

`{command}` made the tables and the picture by asking the gate; a test compares them with what it decides.

![modes of the safety monitor and the events that change them]({picture})

A mode is what the operator has allowed. A verdict is what becomes of the arm in one period: **PASS** follows
what is wanted as it came, **LIMIT** in part, **RECOVER** tilts the cup upright instead, **HOLD** brakes to
rest and keeps the pose, **STOP** brakes to rest and goes silent. A HOLD in following or teleop ends with its
cause; in held it lasts until a resume. A STOP lasts until a reset and then a resume.

## Events

Mode, verdict and reason after each event. Where an event has to last, they are those of its last decision.

{events}

## Services

The answers when joint state and sensors are well:

{services}

{notes}
What becomes of a suspension:

{suspensions}
"""


def page(notes: str) -> str:
    """The page as Markdown; `notes` is the part written by hand."""
    return TEXT.format(
        command=COMMAND, picture=PICTURE, events=events_table(), services=services_table(), notes=notes,
        suspensions=suspensions_table(),
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Write page and picture beside the notes, by default in `docs`."""
    args = sys.argv[1:] if arguments is None else list(arguments)
    folder = Path(args[0] if args else "docs")
    (folder / PAGE).write_text(page((folder / NOTES).read_text()))
    (folder / PICTURE).write_text(picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
