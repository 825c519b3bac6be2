"""Fuzz the readers of files that come from outside.

    python benchmarks/fuzz.py --reader archive --cases 5000
    python benchmarks/fuzz.py --reader all --cases 5000

Every case is made from `--seed`, the reader's name and the case's number alone, so that any of them can be run again:
`--first 123 --cases 1`. Cases run in a process of their own, which the parent ends when a case takes longer than
`--limit` seconds, and starts again behind the case that it died of. A case fails when it raises what its reader does
not document, writes outside its folder, hangs, needs more memory than `--memory`, or takes the process with it.
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random

from fuzz_readers import READERS

START_LIMIT = 120  # seconds until a fresh process has imported what it needs


@dataclass
class Outcome:
    """What the cases of one reader came to: `failed` holds case number and the last line of what went wrong."""

    reader: str
    counts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[int, str]] = field(default_factory=list)
    seconds: float = 0.0
    slowest: float = 0.0
    peak_mib: int = 0

    @property
    def cases(self) -> int:
        return sum(self.counts.values()) + len(self.failed)


def run_case(reader: str, number: int, *, seed: int, state: object, folder: Path) -> tuple[str, str]:
    """("ok", kind of answer) or ("failed", what went wrong)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        return "ok", READERS[reader].case(state, Random(f"{seed} {reader} {number}"), folder)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic in Polars is no Exception
        where = traceback.extract_tb(error.__traceback__)[-1]
        said = (str(error).splitlines() or [""])[0][:200]
        return "failed", f"{type(error).__name__}: {said} ({Path(where.filename).name}:{where.lineno})"


def work(reader: str, first: int, stop: int, seed: int, memory_mib: int, root: str, pipe: Connection) -> None:
    """Run cases one after the other and report each."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    state = READERS[reader].prepare(Path(root))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # libtiff and Rust write there what they also raise
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + (memory_mib << 20)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    pipe.send(("ready", "", 0))
    for number in range(first, stop):
        status, detail = run_case(reader, number, seed=seed, state=state, folder=Path(root) / "case")
        pipe.send((status, detail, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10))


def fuzz(reader: str, *, first: int, cases: int, seed: int, limit: float, memory_mib: int) -> Outcome:
    """Run the cases `first` .. `first + cases - 1`."""
    outcome, number, started = Outcome(reader), first, time.perf_counter()
    context = multiprocessing.get_context("spawn")
    while number < first + cases:
        ours, theirs = context.Pipe()
        with tempfile.TemporaryDirectory(prefix="fuzz-") as root:
            arguments = (reader, number, first + cases, seed, memory_mib, root, theirs)
            process = context.Process(target=work, args=arguments, daemon=True)
            process.start()
            theirs.close()
            patience: float = START_LIMIT
            try:
                while number < first + cases:
                    began = time.perf_counter()
                    if not ours.poll(patience):
                        raise TimeoutError
                    status, detail, peak_mib = ours.recv()
                    patience = limit
                    if status == "ready":
                        continue
                    outcome.slowest = max(outcome.slowest, time.perf_counter() - began)
                    outcome.peak_mib = max(outcome.peak_mib, peak_mib)
                    if status == "failed":
                        outcome.failed.append((number, detail))
                    else:
                        outcome.counts[detail] += 1
                    number += 1
            except TimeoutError:
                outcome.failed.append((number, f"no answer in {patience:.0f} s"))
                number += 1
            except EOFError:
                process.join()
                outcome.failed.append((number, f"the process ended with code {process.exitcode}"))
                number += 1
            finally:
                process.join(timeout=5 if number >= first + cases else 0)
                process.kill()
                process.join()
    outcome.seconds = time.perf_counter() - started
    return outcome


def main() -> int:
    parser = argparse.ArgumentParser(description="Fuzz the readers of files that come from outside.")
    parser.add_argument("--reader", choices=[*READERS, "all"], default="all")
    parser.add_argument("--cases", type=int, default=5000, help="cases for each reader (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="number of the first case (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
    parser.add_argument("--limit", type=float, default=30, help="seconds a case may take (default %(default)s)")
    parser.add_argument("--memory", type=int, default=3072, help="MiB of address space a case may add (%(default)s)")
    options = parser.parse_args()
    names = [name for name in READERS if name != "selftest"] if options.reader == "all" else [options.reader]
    bad = 0
    for name in names:
        outcome = fuzz(
            name,
            first=options.first,
            cases=options.cases,
            seed=options.seed,
            limit=options.limit,
            memory_mib=options.memory,
        )
        kinds = ", ".join(f"{count} {kind}" for kind, count in outcome.counts.most_common())
        print(
            f"{name}: {outcome.cases} cases in {outcome.seconds:.0f} s; {kinds}; {len(outcome.failed)} failed; "
            f"slowest {outcome.slowest:.2f} s, peak {outcome.peak_mib} MiB",
            flush=True,
        )
        for number, detail in outcome.failed[:50]:
            print(f"  case {number}: {detail}", flush=True)
        bad += len(outcome.failed)
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main())
