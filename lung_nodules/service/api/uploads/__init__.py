"""Receiving studies that are sent to us: streamed to disk, within limits, under names of our own."""
