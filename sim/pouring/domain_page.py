"""`docs/domain.md`: every quantity of a domain, made from its own words.

python -m sim.pouring.domain_page > docs/domain.md
"""

import sys

from sim.pouring.domain import FULL, POURS, QUANTITIES, Value

HEAD = """\
# What the bench does not know about a cell

`sim/pouring/domain.py` has one `Domain` for everything that differs from the simulated cell to a real one.
The gate, its world model, the kinematics and the servos' feed-forward know the nominal values only; where a
cell differs, that shows, as it would on a bench.

- `nominal`: every quantity at its nominal value.
- `pours`: what changes from cup to cup in an otherwise nominal cell. Tables that say nothing else are about
  these.
- `full`: every quantity over its whole range, drawn uniformly and independently of each other. The shipped
  policy is trained on it.
- a file: what is known of one arm, for example `spillguard evaluate BUNDLE --domain arm.yaml`:

```yaml
schema: 1
quantities:
  lag: {value: 0.024, low: 0.021, high: 0.027}  # varied between low and high
  payload: {value: 0.21}                        # known; what is not in the file is nominal
```

Where it is taken: the environment (`domain=`), `spillguard evaluate` and `demo` (`--domain`), the simulated
arm and its launch file (`domain:=`). The simulated arm has no use for the delays and the policy's rate, for
there they are the graph's own.
The environment and `evaluate` move an arm that gets each command at once, so `command_delay` and
`command_jitter` have no effect there; the conditions of `spillguard transfer` that vary them have messages.

None of these ranges was measured on a Gen3. They are what we think a careful laboratory may find.

| quantity | nominal | full | from pour to pour | unit | because |
| --- | --- | --- | --- | --- | --- |
"""


def _words(value: Value) -> str:
    """A vector whose entries are equal in groups is written shortly."""
    if isinstance(value, tuple):
        distinct = list(dict.fromkeys(value))
        return " / ".join(f"{x:g}" for x in distinct)
    return value if isinstance(value, str) else f"{value:g}"


def page() -> str:
    """The page as Markdown."""
    rows = []
    for name, quantity in QUANTITIES.items():
        full = f"{_words(quantity.low)} to {_words(quantity.high)}" if name in FULL.varied else ""
        if quantity.choices:
            full = f"fixed; also {', '.join(c for c in quantity.choices if c != quantity.nominal)}"
        pours = " to ".join(map(_words, POURS.varied[name])) if name in POURS.varied else ""
        cells = (
            f"`{name}`",
            _words(quantity.nominal),
            full or "fixed",
            pours,
            quantity.unit,
            quantity.reason,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return HEAD + "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
