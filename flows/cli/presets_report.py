"""`mmctr presets`: the presets, and what each costs at the challenge's shape."""

import json
import textwrap
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mmctr.inputs.features import Feature
from tasks.settings.load import preset_config
from tasks.settings.presets import preset_names, read_preset
from tasks.settings.sections import PipelineConfig

ITEMS = 91_717  # of the challenge
SMALLEST = 2  # rows of an embedding whose size the data say
NAME, COUNT, LINE = 14, 12, 100  # widths of columns, and of a line


@dataclass(frozen=True)
class Row:
    """A preset and what it costs.

    Attributes:
        dense: trained numbers that every row of a batch uses.
        of_items: trained numbers of the items, for those of the challenge; features are not counted, as the data say
            how many values they have.
        rows_per_second: of training, as it was measured; None where it was not.
        share_of_mission: of the speed of the preset mission in the same measurement.
        on: where it was measured.
    """

    name: str
    summary: str
    sources: list[str]
    dense: int
    of_items: int
    rows_per_second: float | None
    share_of_mission: float | None
    on: str


def rows() -> list[Row]:
    """Every preset that comes with the package."""
    return [_row(name) for name in preset_names()]


def _row(name: str) -> Row:
    about = read_preset(name).about
    measured = about.measured
    return Row(
        name,
        about.summary,
        list(about.sources),
        *counted(preset_config(name, base_path=Path("/"))),
        rows_per_second=None if measured is None else measured.rows_per_second,
        share_of_mission=None if measured is None else measured.share_of_mission,
        on="" if measured is None else measured.on,
    )


def counted(config: PipelineConfig) -> tuple[int, int]:
    """Trained numbers of a model for the challenge's items: the dense ones and those of items; none are allocated."""
    import torch

    from mmctr.models.architecture import Architecture
    from mmctr.models.base import ClickModel

    layout = config.data.layout
    architecture = Architecture(
        num_items=ITEMS,
        dim=config.reduce.n_components,
        row_features=_sized(layout.row_features),
        item_features=_sized(layout.item_features),
        **config.model.parts,
    )
    with torch.device("meta"):
        model = ClickModel(architecture)
    tables = {id(weight) for weight in model.embedding_weights()}
    dense = sum(weight.numel() for weight in model.parameters() if weight.requires_grad and id(weight) not in tables)
    of_items = [table.weight for table in (model.items.content, model.items.ids) if table is not None]
    return dense, sum(weight.numel() for weight in of_items if weight.requires_grad)


def _sized(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Features with a size, which has no influence on what is counted."""
    return tuple(one if one.kind == "number" else replace(one, size=one.size or SMALLEST) for one in features)


def as_json() -> str:
    """The presets as a list of objects."""
    return json.dumps([asdict(row) for row in rows()], indent=2, ensure_ascii=False)


def as_text() -> str:
    """The presets as aligned lines."""
    known = rows()
    lines = [f"{'preset':<{NAME}}{'dense':<{COUNT}}{'of items':<{COUNT}}rows/s in training"]
    for row in known:
        lines.append(f"{row.name:<{NAME}}{_short(row.dense):<{COUNT}}{_short(row.of_items):<{COUNT}}{_speed(row)}")
        lines += textwrap.wrap(row.summary, LINE, initial_indent="  ", subsequent_indent="  ")
    notes = (
        f"Numbers that are trained: dense ones, and those of the challenge's {ITEMS:,} items, features not counted. "
    )
    machines = sorted({row.on for row in known if row.on})
    notes += f"Speeds at the challenge's shape on {'; '.join(machines)}, beside mission's there." if machines else ""
    usage = [
        "mmctr run BASE_PATH --preset NAME",
        "mmctr presets NAME               its settings, reasons and sources",
    ]
    return "\n".join([*lines, "", *textwrap.wrap(notes, LINE), "", *usage])


def _short(count: int) -> str:
    return f"{count / 1e6:.2f} M" if count >= 1_000_000 else f"{count:,}"


def _speed(row: Row) -> str:
    if row.rows_per_second is None:
        return "not measured"
    return f"{row.rows_per_second:,.0f}, {row.share_of_mission:.2f} of mission's"
