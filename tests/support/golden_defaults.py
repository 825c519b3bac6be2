"""The defaults that cache keys leave out: `python tests/support/golden_defaults.py` writes them. Review the difference.

A key holds the settings that differ from their defaults. So a default that changes in silence would serve results of
the old one as those of the new; the section's `revision` must then be raised.
"""

import json
import sys
from collections.abc import Iterator
from typing import Any, get_args, get_origin

from project import GOLDEN

from tasks.settings.base import RunsOnly, Section
from tasks.settings.sections import PipelineConfig

DEFAULTS = GOLDEN / "defaults.json"
Described = dict[str, dict[str, Any]]


def described() -> Described:
    """Revision, keyed defaults and the names that take no part, of each section as it is now and of those within."""
    return {
        name: {
            "revision": section.revision,
            "defaults": section.defaults(),
            "not keyed": sorted(section.marked(RunsOnly)),
        }
        for name, section in _within(PipelineConfig, "")
    }


def _within(section: type[Section], path: str) -> Iterator[tuple[str, type[Section]]]:
    """The sections that the fields of one have, with their names; a part of the model by its kind."""
    for field, info in section.model_fields.items():
        for kind in _sections(info.annotation):
            part = kind.model_fields.get("kind")
            name = f"{path}{field}" + (f".{part.default}" if part else "")
            if part is None or not part.is_required():
                yield name, kind
                yield from _within(kind, f"{name}.")


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    if get_origin(annotation) is dict:
        return []  # features, whose defaults are those of a layout
    return [kind for one in get_args(annotation) for kind in _sections(one)]


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
