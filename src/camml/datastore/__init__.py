"""Samples with their vectors in a folder: built, opened, added to, removed from, searched."""

from camml.datastore.calibration import Calibration, calibrate, calibration_of
from camml.datastore.calibration import read as read_calibration
from camml.datastore.calibration import save as save_calibration
from camml.datastore.checks import verify
from camml.datastore.export import export
from camml.datastore.manifest import EncoderRecord, Manifest
from camml.datastore.manifest import read as read_manifest
from camml.datastore.official import (
    check_pictures,
    missing_pictures,
    official_pair,
    official_samples,
    open_official,
    open_store,
)
from camml.datastore.store import Datastore
from camml.datastore.targets import check_file

__all__ = [
    "Calibration",
    "Datastore",
    "EncoderRecord",
    "Manifest",
    "calibrate",
    "calibration_of",
    "check_file",
    "check_pictures",
    "export",
    "missing_pictures",
    "official_pair",
    "official_samples",
    "open_official",
    "open_store",
    "read_calibration",
    "read_manifest",
    "save_calibration",
    "verify",
]
