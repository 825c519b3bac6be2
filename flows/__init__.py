"""The Prefect flows and the command line.

Importing this package sets what Prefect, MLflow and PyTorch's threads would otherwise do loudly or too hastily, unless
the user has decided otherwise. They read these settings when they are imported.
"""

from flows.environment import set_defaults

set_defaults()
