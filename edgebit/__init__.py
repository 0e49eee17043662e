"""edgebit: an edge agent that collects, buffers and forwards, and can prove what it lost."""

__version__ = "0.1.0"
