"""Where blobs are: files below MICRO_HOME, or a bucket of anything that speaks S3."""

from __future__ import annotations

from typing import Any

from project import env

from .base import MICRO_HOME

MICRO_BLOB_STORAGE = env.choice("MICRO_BLOB_STORAGE", ("files", "s3"))
MICRO_BLOB_FOLDER = env.path("MICRO_BLOB_FOLDER", str(MICRO_HOME / "blobs"))  # uploads come in here with S3, too


def _files() -> dict[str, Any]:
    modes = {"file_permissions_mode": 0o600, "directory_permissions_mode": 0o700}
    options = {"location": str(MICRO_BLOB_FOLDER), **modes}
    return {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": options}


def _s3() -> dict[str, Any]:
    """Credentials are boto's business: AWS_ACCESS_KEY_ID with its secret, a profile, or the machine's role."""
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config

    options = {
        "bucket_name": env.text("MICRO_BLOB_S3_BUCKET"),
        "endpoint_url": env.text("MICRO_BLOB_S3_ENDPOINT", "") or None,
        "region_name": env.text("MICRO_BLOB_S3_REGION", "us-east-1"),
        "client_config": Config(
            s3={"addressing_style": "path"},
            signature_version="s3v4",
            connect_timeout=2,
            retries={"mode": "standard", "max_attempts": 2},
        ),
        "transfer_config": TransferConfig(max_concurrency=2),  # of parts that are in memory at a time
        "default_acl": None,
        "file_overwrite": True,  # names are never used twice, so nothing need be asked first
        "max_memory_size": 8 * 1024 * 1024,  # larger ones are read by way of the disk
    }
    return {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}


STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "blobs": _s3() if MICRO_BLOB_STORAGE == "s3" else _files(),
}
