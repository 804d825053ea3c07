"""The names of the trainer's own columns of a labelled row; a request field may have them too."""

from __future__ import annotations

from typing import Final

__all__ = ["EVENT_TIMESTAMP", "KNOWN_AT", "LABEL", "SPAN"]

EVENT_TIMESTAMP: Final = "event_timestamp"
"""The moment of the prediction: in the user's label table too, so that no field has this name."""
KNOWN_AT: Final = "label_known_at"
LABEL: Final = "label"
SPAN: Final = "span"
