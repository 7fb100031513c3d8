"""The tables in README.md: of this machine and, if it has AVX-512, of it without that.

Most readers' machines have AVX2 or NEON. Each peer is told in its own way.
"""

import os
import subprocess
import sys
from pathlib import Path

from conftest import vectors

NARROW = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "NUMBA_CPU_NAME": "haswell",
    "NUMBA_CPU_FEATURES": "+avx2,+fma",  # else those of this machine
    "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
}

command = [sys.executable, "-m", "pytest", "-q", "--readme", str(Path(__file__).parent)]
for environment in ({}, NARROW) if vectors() == "AVX-512" else ({},):
    subprocess.run([*command, *sys.argv[1:]], env=os.environ | environment, check=False)
