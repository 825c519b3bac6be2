"""Which rows `quality.py` makes, and the command of each."""

from dataclasses import asdict, dataclass
from pathlib import Path

DATA = ("movielens", "challenge", "demo")
PRESETS = ("mission", "organisers", "regularised", "strong")
PEERS = ("popularity", "lightgbm", "fuxictr")
SEEDS = (0, 1, 2)
# Switches of `strong`, each with what turns it off; the rest of it stays.
SWITCHES: dict[str, tuple[str, ...]] = {
    "similarity": ('model.sequence=[{kind="mean"},{kind="product"}]',),
    "product": ('model.sequence=[{kind="mean"},{kind="similarity"}]',),
    "mean": ('model.sequence=[{kind="product"},{kind="similarity"}]',),
    "history_vectors": ("model.item.history_width=0",),
    "history_vectors_for_ids": ("model.item.history_width=0", "model.item.id_width=32"),
    "frozen_content": ('model.item.content="trained"',),
    "narrow_content": ("model.item.content_width=0",),
    "features": ("model.item.features=false",),
    "history_count": ("model.item.history_count=false",),
    "item_dropout": ("model.item.dropout=0",),
    "batch_norm": ("model.head.batch_norm=false",),
    "head_dropout": ("model.head.dropout=0",),
    "net_l2": ("train.net_l2=0",),
    "validate_steps": ("train.validate_steps=0", "train.patience=3", "train.plateau_patience=1"),
}


@dataclass(frozen=True)
class RowName:
    """A row: the data set, the preset or the peer, the seed, and the switch that is off."""

    data: str
    of: str
    seed: int
    off: str = ""

    @property
    def stem(self) -> str:
        """The beginning of its files' names."""
        return "-".join([self.data, self.of, *([f"no_{self.off}"] if self.off else []), str(self.seed)])

    def path(self, folder: Path) -> Path:
        """Its figures."""
        return folder / f"{self.stem}.row.json"

    @property
    def command(self) -> str:
        """What makes it."""
        what = "peer" if self.of in PEERS else "preset"
        off = f" --off {self.off}" if self.off else ""
        return f"python benchmarks/quality.py row --data {self.data} --{what} {self.of} --seed {self.seed}{off}"

    def as_dict(self) -> dict[str, str | int]:
        """For its JSON file."""
        return asdict(self)


def planned() -> list[RowName]:
    """All rows, the quick ones that say most first, so that a comparison that is stopped has them."""
    quick, slow = ("strong", "mission", "lightgbm", "popularity"), ("organisers", "fuxictr", "regularised")
    rows = [RowName(data, of, seed) for seed in SEEDS for of in quick for data in DATA]
    rows += [RowName(data, of, SEEDS[0]) for of in slow for data in DATA]
    rows += [RowName(data, "strong", seed, off) for seed in SEEDS for off in SWITCHES for data in DATA]
    return rows + [RowName(data, of, seed) for seed in SEEDS[1:] for of in slow for data in DATA]


def overrides_without(switch: str) -> list[str]:
    """The settings that turn a switch off."""
    return list(SWITCHES[switch]) if switch else []
