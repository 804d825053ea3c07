"""The feature repo's modules are imported by their bare names, as Feast does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "feature_repo"))
