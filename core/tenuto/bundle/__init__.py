"""Bundles: a part of the log as a folder of small files that a stranger verifies without a database or a network."""

from .folder import BundleFolder
from .layout import Asked, BundleRefused, Listed, Manifest
from .verifying import Report, Taken, verify_bundle

__all__ = ["Asked", "BundleFolder", "BundleRefused", "Listed", "Manifest", "Report", "Taken", "verify_bundle"]
