"""The defaults that cache keys leave out: `python tests/support/golden_defaults.py` writes them. Review the difference.

A key holds the settings that differ from their defaults. So a default that changes in silence would serve results of
the old one as those of the new; the section's `revision` must then be raised.
"""

import json
import sys
from typing import Any

from project import GOLDEN

from tasks.settings.base import RunsOnly, Section
from tasks.settings.sections import PipelineConfig

DEFAULTS = GOLDEN / "defaults.json"
Described = dict[str, dict[str, Any]]


def described() -> Described:
    """Revision, keyed defaults and the names that take no part, of each section as it is now."""
    kinds = {name: field.annotation for name, field in PipelineConfig.model_fields.items()}
    sections = {name: kind for name, kind in kinds.items() if isinstance(kind, type) and issubclass(kind, Section)}
    return {
        name: {
            "revision": section.revision,
            "defaults": section.defaults(),
            "not keyed": sorted(section.marked(RunsOnly)),
        }
        for name, section in sections.items()
    }


def served_stale(known: Described, now: Described) -> list[str]:
    """A sentence for each change under which an old result would be served for a new setting."""
    found = []
    for section, before in known.items():
        after = now.get(section, {"revision": before["revision"], "defaults": {}, "not keyed": []})
        if after["revision"] > before["revision"]:
            continue
        if after["revision"] < before["revision"]:
            found.append(f"{section}: the revision fell from {before['revision']} to {after['revision']}")
        for name, value in before["defaults"].items():
            if name not in after["defaults"]:
                found.append(f"{section}.{name} is no keyed setting any more")
            elif after["defaults"][name] != value:
                found.append(f"{section}.{name} changed its default from {value} to {after['defaults'][name]}")
        found += [f"{section}.{name} is keyed now" for name in before["not keyed"] if name in after["defaults"]]
    return found


if __name__ == "__main__":
    if problems := served_stale(json.loads(DEFAULTS.read_text()), described()):
        sys.exit("raise the `revision` of the section first:\n  " + "\n  ".join(problems))
    DEFAULTS.write_text(json.dumps(described(), indent=1) + "\n")
