"""How a search goes on: what `mmctr tune` is started with besides the settings and the space."""

from typing import Literal

from pydantic import Field

from tasks.settings.base import Section


class SearchConfig(Section):
    """A search; nothing in it changes what one trial results in."""

    study: str = Field(
        "",
        pattern=r"^(\w[\w.-]*)?$",
        max_length=100,
        description="name; empty: that of the space file and what it is for",
    )
    trials: int = Field(50, ge=1, le=100_000, description="trials in all, those of earlier calls included")
    timeout: float | None = Field(None, gt=0, description="seconds after which no further trial begins")
    jobs: int | Literal["auto"] = Field(
        "auto", description="trials at once; auto: one for each GPU, or one for every four cores"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median", description="what ends a trial early, by the validation AUC of others after as many validations"
    )
    seed: int = Field(0, ge=0, le=2**31 - 1, description="of the points that are tried")
