"""The Prefect flows and the command line.

Importing this package sets what Prefect, MLflow and PyTorch's threads would otherwise do loudly or too hastily, unless
the user has decided otherwise. They read these settings when they are imported.
"""

import os

SETTINGS = {
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # the same bits in every run on CUDA (PyTorch, notes on reproducibility)
    "DO_NOT_TRACK": "1",
    "GOMP_SPINCOUNT": "1000",  # PyTorch's threads; docs/decisions/0006-threads-that-do-not-spin.md
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",  # 12 s for a server that is gone, not 4 minutes; run.retries comes on top
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "mmctr",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # the library may speak outside a flow
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
for _name, _value in SETTINGS.items():
    os.environ.setdefault(_name, _value)
