"""What a stage is given besides its inputs."""

from pydantic import BaseModel, ConfigDict


class Unkeyed(BaseModel):
    """Base of what a stage is given and what changes no result; it takes no part in cache keys."""

    model_config = ConfigDict(frozen=True)
