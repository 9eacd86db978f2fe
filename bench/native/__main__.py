"""Compile both programs, if need be."""

import sys

from bench.native import PROGRAMS, NotCompiled, program

try:
    for name in PROGRAMS:
        program(name)
except NotCompiled as error:
    sys.exit(str(error))
