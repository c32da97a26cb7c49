"""Run benchmarks by name (all without one), save their results and write docs/benchmarks.md anew."""

import argparse
import time
from importlib import import_module

from benchmarks import report, results

BENCHMARKS = ("startup", "step_speed", "newton", "starter_gain", "words", "kill")


def main() -> None:
    """Command line: names of benchmarks, or --report for the page alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
    parser.add_argument("--report", action="store_true", help="only write the page from the committed results")
    options = parser.parse_args()
    for name in [] if options.report else options.names or BENCHMARKS:
        print(f"{name} …", flush=True)
        start = time.perf_counter()
        benchmark = import_module(f"benchmarks.{name}")
        figures = benchmark.measure()
        results.save(name, figures, seconds=time.perf_counter() - start)
        print(benchmark.sentence(figures), flush=True)
    report.write(BENCHMARKS)
    print("docs/benchmarks.md is up to date.")


if __name__ == "__main__":
    main()
