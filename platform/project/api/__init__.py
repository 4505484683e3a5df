"""The REST API below /v1: what its rooms' api.py files have in common."""
