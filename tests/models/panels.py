"""Made-up steps of a signature database, as a coordinator writes them for a training."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wattcast_core.signature import FEATURES

FIRST = 1_700_000_100 // 300
APPLICATIONS = ("web", "batch")


def write(path, days=4, servers=4, seed=3):
    """Half the servers swing by the day, the others by the job."""
    rng, steps = np.random.default_rng(seed), round(days * 288)
    at = np.arange(steps)
    columns = {name: [] for name in ("server", "application", "step", "power_w", *FEATURES)}
    for number in range(servers):
        application = APPLICATIONS[number % 2]
        use = 0.45 + 0.3 * np.sin(2 * np.pi * at / 288 + number)
        if application == "batch":
            use = 0.2 + 0.6 * ((at + 7 * number) % 36 < 14)
        use = np.clip(use + rng.normal(0, 0.02, steps), 0, 1)
        columns["server"] += [f"s{number}"] * steps
        columns["application"] += [application] * steps
        columns["step"] += (FIRST + at).tolist()
        columns["power_w"] += (120 + 220 * use).tolist()
        for name in FEATURES:
            columns[name] += (100 * use).tolist() if name == "cpu_pct" else [None] * steps
    numbers = {"power_w", *FEATURES}
    arrays = {k: pa.array(v, pa.float64() if k in numbers else None) for k, v in columns.items()}
    pq.write_table(pa.table(arrays), path)
    return path
