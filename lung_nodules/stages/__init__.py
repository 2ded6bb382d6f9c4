"""The line: one module a stage, in the order in which data passes.

instances, series, volume, quality, lungs, detection, segmentation, nodules, classification, report.
"""
