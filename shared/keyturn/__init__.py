"""keyturn rotates static API credentials without downtime."""

__version__ = "0.1.0"
