"""Makes ``decision_room`` of the step tests and ``walk`` beside this file importable."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "step"))
sys.path.insert(0, str(Path(__file__).parent))
