"""Fits of synthetic workspaces of growing size: load, compilation, first and later fits, peak memory.

``python -m validation.bench.synthetic [PARAMETERS ...]`` runs the sizes of `LADDER`, each in a process of its own.

A workspace has one signal and several backgrounds in all channels.  Backgrounds fall exponentially, the signal peaks;
the parameter of interest scales the signal, further normalisation factors scale the first backgrounds.  A systematic
is one name on about half of the samples, in every channel where these are: normsys of one size per sample and channel,
histosys that tilt and bend the spectrum.  Each channel has a staterror on all samples but the last, as if that one were
estimated from data.  Observed counts are Poisson numbers about the nominal rates.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from validation import machine, tables, workspaces
from validation.bench import process

FloatArray = npt.NDArray[np.float64]
Document = dict[str, Any]
LIMIT = 600.0


@dataclass(frozen=True)
class Size:
    """How large a synthetic workspace is.

    Attributes:
        channels: Channels, each with its own staterror.
        bins: Bins of each channel.
        samples: Samples of each channel, the signal included.
        normsys: Names of normalisation systematics.
        histosys: Names of shape systematics.
        normfactors: Free factors of backgrounds, beside the parameter of interest.
    """

    channels: int
    bins: int
    samples: int
    normsys: int
    histosys: int
    normfactors: int = 3

    @property
    def parameters(self) -> int:
        """Number of parameters, that of interest included."""
        return 1 + self.normfactors + self.normsys + self.histosys + self.channels * self.bins


LADDER = (
    Size(1, 5, 3, 2, 2, normfactors=0),
    Size(2, 10, 5, 14, 14, normfactors=1),
    Size(4, 20, 6, 33, 33),
    Size(8, 25, 8, 48, 48),
    Size(20, 25, 8, 75, 75),
    Size(30, 50, 8, 248, 248),
)
"""10, 50, 150, 300, 654 and 2000 parameters."""


def workspace(size: Size, *, seed: int) -> Document:
    """A pyhf workspace of a given size; the same for the same seed."""
    random = np.random.default_rng(seed)
    affected = {f"{kind}_{i:03d}": random.random(size.samples) < 0.5 for kind, i in _systematics(size)}
    for name, taking_part in affected.items():
        taking_part[1 + len(name) % (size.samples - 1)] = True  # a systematic acts on some background
    channels, observations = [], []
    for c in range(size.channels):
        nominal = _nominal(size, random)
        samples = [_sample(size, c, s, rates, affected, random) for s, rates in enumerate(nominal)]
        channels.append({"name": f"channel_{c:03d}", "samples": samples})
        counts = random.poisson(np.sum(nominal, axis=0)).astype(float)
        observations.append({"name": f"channel_{c:03d}", "data": counts.tolist()})
    measurement = {"name": "synthetic", "config": {"poi": "mu", "parameters": []}}
    return {"version": "1.0.0", "channels": channels, "observations": observations, "measurements": [measurement]}


def _systematics(size: Size) -> Iterator[tuple[str, int]]:
    yield from (("norm", i) for i in range(size.normsys))
    yield from (("shape", i) for i in range(size.histosys))


def _nominal(size: Size, random: np.random.Generator) -> FloatArray:
    """Rates of one channel with shape (samples, bins): a peak of about 20 events per bin at most, and backgrounds."""
    x = (np.arange(size.bins) + 0.5) / size.bins
    peak = np.exp(-0.5 * ((x - random.uniform(0.4, 0.8)) / 0.15) ** 2)
    slopes = random.uniform(0.5, 3.0, size.samples - 1)
    heights = random.lognormal(np.log(60.0), 0.8, size.samples - 1)
    backgrounds = heights[:, None] * np.exp(-slopes[:, None] * x)
    return np.vstack([random.uniform(5.0, 20.0) * peak + 0.1, backgrounds])


def _sample(
    size: Size,
    c: int,
    s: int,
    rates: FloatArray,
    affected: dict[str, npt.NDArray[np.bool_]],
    random: np.random.Generator,
) -> Document:
    modifiers = [_modifier("mu", "normfactor", None)] if s == 0 else []
    if 1 <= s <= size.normfactors:
        modifiers.append(_modifier(f"k_{s}", "normfactor", None))
    for name, taking_part in affected.items():
        if taking_part[s]:
            kind, data = _variation(name, rates, random)
            modifiers.append(_modifier(name, kind, data))
    if s < size.samples - 1:  # events of weight 0.2
        modifiers.append(_modifier(f"stat_{c:03d}", "staterror", np.sqrt(0.2 * rates).tolist()))
    return {"name": "signal" if s == 0 else f"background_{s}", "data": rates.tolist(), "modifiers": modifiers}


def _variation(name: str, rates: FloatArray, random: np.random.Generator) -> tuple[str, Document]:
    """A change of a few per cent, not quite the same up and down."""
    width = random.lognormal(np.log(0.02), 0.7)
    if name.startswith("norm"):
        return "normsys", {"lo": float(np.exp(-width * random.uniform(0.8, 1.2))), "hi": float(np.exp(width))}
    x = np.linspace(-1.0, 1.0, rates.size)
    shape = np.clip(width * (random.normal() + random.normal() * x + random.normal() * x**2), -0.5, 0.5)
    down = np.clip(shape * random.uniform(0.8, 1.2), -0.6, 0.6)
    return "histosys", {"hi_data": (rates * (1.0 + shape)).tolist(), "lo_data": (rates * (1.0 - down)).tolist()}


def _modifier(name: str, kind: str, data: object) -> Document:
    return {"name": name, "type": kind, "data": data}


# ---------------------------------------------------------------------------------------------- measuring


@dataclass(frozen=True)
class Timing:
    """What was measured of one size; times in seconds of wall clock."""

    parameters: int
    bins: int
    megabytes: float
    """Size of the workspace file."""
    load: float
    """Reading, checking and compiling the file into a model."""
    first: float
    """First fit, compilation included."""
    later: float
    """Median of the fits after it."""
    steps: int
    converged: bool
    peak_rss_mb: float | None = None


def timing(path: Path, repeats: int) -> Timing:
    """Load a workspace file and fit it several times, in this process."""
    import infer

    began = time.perf_counter()
    likelihood, data = infer.read_workspace(path)
    loaded = time.perf_counter() - began
    seconds = []
    for _ in range(1 + repeats):
        began = time.perf_counter()
        found = infer.fit(likelihood, data)
        seconds.append(time.perf_counter() - began)
    return Timing(
        len(likelihood.parameters),
        int(data.main.shape[0]),
        path.stat().st_size / 1e6,
        loaded,
        seconds[0],
        statistics.median(seconds[1:]),
        found.n_steps,
        found.status.converged,
    )


def _measured(size: Size, seed: int, repeats: int, folder: Path) -> Timing:
    """The same in a process of its own, with its peak memory."""
    path = folder / f"synthetic_{size.parameters}.json"
    path.write_text(json.dumps(workspace(size, seed=seed)))
    command = [sys.executable, "-m", "validation.bench.synthetic", "--file", str(path), "--repeats", str(repeats)]
    done = process.run(command, directory=workspaces.ROOT, limit=LIMIT, cores=2)
    if done.code:
        raise click.ClickException(f"{size.parameters} parameters: {done.last_words}")
    return Timing(**json.loads(done.stdout.splitlines()[-1]) | {"peak_rss_mb": done.peak_rss_mb})


def _row(found: Timing) -> list[str]:
    times = (found.load, found.first - found.later, found.later)
    peak = tables.number(found.peak_rss_mb, 4)
    label = f"{found.parameters}{'' if found.converged else ' (not converged)'}"
    return [label, str(found.bins), f"{found.megabytes:.3g}", *map(tables.seconds, times), str(found.steps), peak]


@click.command(help=__doc__)
@click.argument("parameters", nargs=-1, type=int)
@click.option("--seed", default=1)
@click.option("--repeats", default=3, help="Fits after the first.")
@click.option("--file", "path", type=click.Path(path_type=Path), help="Measure this file, in this process.")
@click.option("--results", type=click.Path(path_type=Path), default=tables.RESULTS, help="Where the table is written.")
def main(parameters: tuple[int, ...], seed: int, repeats: int, path: Path | None, results: Path) -> None:
    """Measure, print the table, and write it."""
    if path is not None:
        click.echo(json.dumps(asdict(timing(path, repeats))))
        return
    with tempfile.TemporaryDirectory() as folder:
        chosen = [size for size in LADDER if not parameters or size.parameters in parameters]
        found = [_measured(size, seed, repeats, Path(folder)) for size in chosen]
    header = ["parameters", "bins", "file / MB", "load", "compilation", "fit", "steps", "peak / MB"]
    table = tables.markdown_table(header, [_row(timing_) for timing_ in found])
    host, versions = machine.describe(), machine.versions("infer-hep", "jax", "jaxlib", "numpy", "scipy")
    text = f"{table}\n\n{tables.provenance_lines(machine.today(), host, versions)}"
    record = {"seed": seed, "machine": host, "versions": versions, "sizes": [asdict(timing_) for timing_ in found]}
    tables.write(results, "bench_synthetic", text, record)
    click.echo(text)


if __name__ == "__main__":
    main()
