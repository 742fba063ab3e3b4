import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # the helpers beside the tests (importlib mode)
