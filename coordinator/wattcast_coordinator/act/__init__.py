"""Where decisions become deeds: workload engines, reverse proxies, running migrations."""
