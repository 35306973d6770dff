"""Random damage to the files of a bundle, the same for the same seed."""

import copy
import json
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from spillguard_core.bundle.bundle import sha256

BIG, DEEP = "1" + "0" * 400, 100_000
ODD_TEXTS = ("nan", "inf", "-1", "0", "1e999", "", "x", "-0.0", "99999999999999999999", "0 0", "true")
ODD_VALUES: tuple[Any, ...] = (
    None, 0, -1, 1, 10**400, -(10**400), 1e308, -1e308, 5e-324, True, "", "x" * 10_000, "\ud800", "\0",
    "../..", [], {}, [[]], {"a": {}}, [None] * 7, [1e308] * 7, [0.0, 1.0],
)  # fmt: skip


def damaged(name: str, data: bytes, rng: random.Random) -> bytes:
    """One file with damage that fits its kind, or any kind's."""
    own: dict[str, Callable[[bytes, random.Random], bytes]] = {
        "manifest.json": values,
        "guard.xml": attributes,
    }
    if name in own and rng.random() < 0.75:
        return own[name](data, rng)
    return rng.choice((flipped, cut, dropped, doubled, filled, inserted))(data, rng)


def place(bundle: Path, name: str, data: bytes) -> None:
    """Write the file, and its hash into the manifest."""
    (bundle / name).write_bytes(data)
    if name != "manifest.json":
        path = bundle / "manifest.json"
        raw = json.loads(path.read_text())
        raw["files"][name] = sha256(data)
        path.write_text(json.dumps(raw))


def restored(source: Path, bundle: Path) -> None:
    """All files of `source` again."""
    shutil.copytree(source, bundle, dirs_exist_ok=True)


def flipped(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def span(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 256, 4096)))


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def dropped(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + data[end:]


def doubled(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:end] + data[start:]


def filled(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + bytes([rng.choice((0x00, 0x7F, 0x80, 0xFF))]) * (end - start) + data[end:]


def inserted(data: bytes, rng: random.Random) -> bytes:
    start, end = span(data, rng)
    return data[:start] + rng.randbytes(end - start) + data[start:]


def values(data: bytes, rng: random.Random) -> bytes:
    """The manifest with one or two values replaced, removed, or written in a way that only JSON allows."""
    raw = copy.deepcopy(json.loads(data))
    for _ in range(rng.choice((1, 1, 2))):
        holder: Any = raw
        while True:
            keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
            if not keys:
                break
            key = rng.choice(keys)
            if not isinstance(holder[key], dict | list) or rng.random() < 0.2:
                if rng.random() < 0.15:
                    del holder[key]
                else:
                    holder[key] = copy.deepcopy(rng.choice(ODD_VALUES))
                break
            holder = holder[key]
    text = json.dumps(raw)
    if rng.random() < 0.2:
        odd = rng.choice(("1e999", "-1e999", BIG, "NaN", "Infinity", "[" * DEEP + "]" * DEEP, "9" * 5000))
        numbers = list(re.finditer(r"(?<=: )[-\d.e]+", text))
        if numbers:
            one = rng.choice(numbers)
            text = text[: one.start()] + odd + text[one.end() :]
    return text.encode()


def attributes(data: bytes, rng: random.Random) -> bytes:
    """A world model with a few values or names of attributes exchanged, or an element gone or twice there."""
    text = data.decode()
    for _ in range(rng.choice((1, 1, 2, 4))):
        found = list(re.finditer(r'(\w+)="([^"]*)"', text))
        if not found:
            break
        one, other = rng.choice(found), rng.choice(found)
        value = rng.choice((*ODD_TEXTS, other[2], one[2] + " 1", one[2].split(" ")[0]))
        name = one[1] if rng.random() < 0.8 else other[1]
        text = text[: one.start()] + f'{name}="{value}"' + text[one.end() :]
    elements = list(re.finditer(r"<[^<>]*>", text))
    if rng.random() < 0.2 and elements:
        one = rng.choice(elements)
        text = text[: one.start()] + one[0] * rng.choice((0, 2)) + text[one.end() :]
    return text.encode()
