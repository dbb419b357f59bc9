"""What every test shares: run-time checks of shapes and types, JAX on the CPU, and one thread for each test process."""

import os
import resource
from importlib.metadata import version
from pathlib import Path

# All of this must be in place before JAX or the package is imported.
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("MPLBACKEND", "agg")
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "entrax" / "tests"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(_CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# Programs of tests run briefly: most of their time is compilation, which these two flags shorten to a third.
_FLAGS = ["--xla_backend_optimization_level=0"]
if version("jaxlib") == "0.10.2":  # XLA ends the process for a flag that it does not know
    _FLAGS += ["--xla_cpu_use_fusion_emitters=false"]
if "PYTEST_XDIST_WORKER" in os.environ:  # the processes share the cores: threads inside them would only fight
    _FLAGS += ["--xla_cpu_multi_thread_eigen=false"]
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"
os.environ["XLA_FLAGS"] = " ".join([*_FLAGS, os.environ.get("XLA_FLAGS", "")])

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from tests.checking import install_checks  # noqa: E402

install_checks("entrax")
import entrax.xla  # noqa: E402, F401  (before a test file uses JAX)

# The time of an example is mostly compilation, so a deadline would measure that; the same examples each time.
settings.register_profile("entrax", deadline=None, derandomize=True, max_examples=25, database=None)
settings.load_profile("entrax")


MOST_MEMORY = 2 * 2**30  # bytes in use by one test process
MOST_MAPS = 1 / 3  # of the memory maps that the system allows a process


@pytest.fixture(autouse=True)
def _much_memory_released():
    """Tests of many shapes compile many programs within one file."""
    yield
    if memory_in_use() > 0.7 * MOST_MEMORY:
        from entrax.programs import release_programs

        release_programs(always=True)


@pytest.fixture(scope="module", autouse=True)
def _programs_released():
    """Compiled programs last for one test file; a file that gathers too many of them fails here, by name."""
    yield
    from entrax.programs import memory_map_limit, memory_maps, release_programs

    maps, memory = memory_maps(), memory_in_use()
    release_programs(always=True)
    assert maps <= MOST_MAPS * memory_map_limit()
    assert memory <= MOST_MEMORY, f"this file's tests left {memory / 2**30:.1f} GiB in use"


def memory_in_use() -> int:
    """Bytes of this process that are in memory; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return 0
