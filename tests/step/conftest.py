"""Makes ``decision_room`` importable: tests are loaded by file, not from packages."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
