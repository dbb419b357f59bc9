"""Run directories: configuration, metrics, events, checkpoints and the transition log. Nothing here learns."""

from entrax.runs.audit import Finding, fingerprint, verify
from entrax.runs.directory import RunDirectory
from entrax.runs.metrics import Logger, MetricsWriter
from entrax.runs.transition_log import TransitionLog

__all__ = ["Finding", "Logger", "MetricsWriter", "RunDirectory", "TransitionLog", "fingerprint", "verify"]
