"""Files that are whole or not there, locks, records and versions."""

from tf4dvar.storage.files import (
    Claim,
    atomic_path,
    check_output,
    locked,
    open_regular,
    to_disk,
)

__all__ = ["Claim", "atomic_path", "check_output", "locked", "open_regular", "to_disk"]
