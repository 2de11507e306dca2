"""Time ``infer.toys`` on a workspace: ``python -m validation.bench.run_infer_scaling WORKSPACE --toys N``."""

import argparse
import json
import time
from pathlib import Path

import jax

import infer
from infer.inference.campaigns import Run

SOME = 1024
"""Toys of the first call, which is to compile whatever the second one runs."""


def main() -> None:
    """One short call to compile, one to measure; the JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--toys", type=int, default=1000)
    parser.add_argument("--warm-up", type=int, default=SOME)
    parser.add_argument("--chunk", type=int)
    arguments = parser.parse_args()
    likelihood, data = infer.read_workspace(arguments.workspace)
    began = time.perf_counter()
    run, key = Run(chunk=arguments.chunk), jax.random.key(1)
    infer.toys(likelihood, data, key=key, n_toys=min(arguments.warm_up, arguments.toys), run=run)
    compiled, cpu = time.perf_counter(), time.process_time()
    found = infer.toys(likelihood, data, key=key, n_toys=arguments.toys, run=run)
    print(
        json.dumps(
            {
                "n_toys": found.n,
                "n_parameters": len(likelihood.parameters),
                "n_bins": int(data.main.shape[0]),
                "compile": compiled - began,
                "seconds": time.perf_counter() - compiled,
                "cpu": time.process_time() - cpu,
                "n_failed": found.n_failed,
                "n_migrad": found.n_migrad,
                "mean_steps": float(found.columns["n_steps"].mean()),
            }
        )
    )


if __name__ == "__main__":
    main()
