"""The judge must stay the one that was agreed on, and out of the product."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
SHA256 = "682b838b545ebae060510c47f4821de036ebf0d924ff8cf5ec2214e031e4bef8"


def test_the_judge_is_unchanged():
    copy = ROOT / "tests" / "judge" / "plan_check.py"
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == SHA256


def test_the_product_does_not_import_the_judge():
    sources = [*(ROOT / "coordinator").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    assert not [path for path in sources if "plan_check" in path.read_text()]
