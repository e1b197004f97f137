"""Serves: `python -m benchmarks.stub [PORT]`."""

import asyncio
import sys

from .server import serve

asyncio.run(serve(*map(int, sys.argv[1:])))
