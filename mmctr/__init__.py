"""The pure library of the multimodal CTR pipeline: plain functions on files, arrays and tensors.

It imports neither Prefect nor MLflow, so that every part can be used from a notebook.
"""
