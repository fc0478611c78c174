# SPDX-License-Identifier: Apache-2.0
"""What all cases share: the machine, its limits, a temporary folder, and how sides are started."""
import os
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from peers import ROOT, PeerError, python_of
from programs import Program, ProgramError

OURS = "polyphony"
SCRIPTS = Path(__file__).resolve().parent


@dataclass
class Side:
    name: str
    program: Program
    verb: str = "run"
    judge: bool = False  # its output is compared with, its time is not asked for


@dataclass
class Setting:
    folder: Path  # temporary files of this run
    threads: int = 2
    rounds: int = 7
    install: bool = True
    measured_limits: dict = field(default_factory=dict)

    def environment(self):
        """The same for all sides. oneDNN keeps 1,024 kernels by default and compiles every further shape anew."""
        return {**os.environ, "OMP_NUM_THREADS": str(self.threads), "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "32768", "PYTHONDONTWRITEBYTECODE": "1", "HF_HUB_OFFLINE": "1"}

    def ours(self, program, *words):
        return Program(OURS, [ROOT / "build" / "bin" / program, *words], self.environment())

    def peer(self, name, environment, script, *words):
        return Program(name, [python_of(environment, self.install), SCRIPTS / script, *words], self.environment())

    def limits(self):
        """The best that the machine showed so far in this run: a limit is what can be reached."""
        program = self.ours("limits_bench", self.threads)
        try:
            for _ in range(3):
                for name, value in program.ask("run").items():
                    self.measured_limits[name] = max(value, self.measured_limits.get(name, 0))
        finally:
            program.close()
        return self.measured_limits


class Sides:
    """Starts sides and closes them again; those that do not start are in `failed`."""

    def __init__(self):
        self.sides, self.failed, self.programs = [], {}, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for program in self.programs:
            program.close()

    def start(self, make, *named):
        """make() gives a Program; `named` are (name of the side, verb). Returns the program, or None for a peer that does not start."""
        try:
            program = make()
        except (PeerError, ProgramError) as error:
            if any(name == OURS for name, _ in named):
                raise  # without our side there is nothing to compare
            self.failed |= {name: str(error) for name, _ in named} or {str(error).split(":")[0]: str(error)}
            return None
        self.programs.append(program)
        self.sides += [Side(name, program, verb) for name, verb in named]
        return program


def machine():
    text = Path("/proc/cpuinfo").read_text()
    name = re.search(r"model name\s*: (.*)", text)
    return {"processor": name[1] if name else "unknown", "processors": os.cpu_count(), "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)}


def _ticks():
    values = [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return sum(values) - values[3] - values[4], sum(values)  # idle and waiting for a disk are not busy


def busy_share(seconds=2.0):
    """How much of all processors' time went by in work."""
    busy, everything = _ticks()
    time.sleep(seconds)
    busy_later, everything_later = _ticks()
    return (busy_later - busy) / max(1, everything_later - everything)
