"""Metrics by their published rules, and one report in HTML, PNG and JSON.

Which rule each figure follows, with sources: docs/evaluation.md.
"""
