"""Measure: the same code as the live system, over many seeds, against named peers.

examples: wattcast bench story --seeds 30 --json
          wattcast bench plan --seeds 10
"""

import argparse
import importlib

BENCHES = {
    "price": ("wattcast_tools.bench_price", "what heeding price and carbon saves"),
    "capacity": ("wattcast_tools.bench_capacity", "servers that fit, by way of operation"),
    "story": ("wattcast_tools.bench_story", "Wattcast, guard band and no control on many seeds"),
    "forecast": ("wattcast_tools.bench_forecast", "time and memory of a forecast on the edge"),
    "attribution": ("wattcast_tools.bench_attribution", "watts of workloads against outlets"),
    "n1": ("wattcast_tools.bench_n1", "time of all single losses and pairs of losses"),
    "ingest": ("wattcast_tools.bench_ingest", "values a second and core, and what a kill loses"),
    "plan": ("wattcast_tools.bench_plan", "success and time of the planner on seeded problems"),
    "agent": ("wattcast_tools.bench_agent", "memory, processor time and lateness of an agent"),
    "faults": ("wattcast_tools.bench_faults", "many devices, half of them faulty in every way"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare ``wattcast bench`` and its benchmarks."""
    subs = parser.add_subparsers(metavar="BENCH", required=True)
    for name, (module_name, text) in BENCHES.items():
        module = importlib.import_module(module_name)
        sub = subs.add_parser(name, help=text, description=module.__doc__)
        module.add_arguments(sub)
        sub.set_defaults(bench=module.run)


def run(args: argparse.Namespace) -> int:
    """Run the chosen benchmark."""
    return int(args.bench(args))
