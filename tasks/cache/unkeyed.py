"""What a stage is given besides its inputs."""


class Unkeyed:
    """Base of what changes no result: a stage may be given it, and it takes no part in the stage's key."""
