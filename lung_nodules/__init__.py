"""An open lung-nodule reader for chest CT.

The package is the library behind the MONAI Deploy application: :func:`lung_nodules.pipeline.analyse`
is the whole line from a DICOM folder to a report. It is research software, not a medical device.
"""

__version__ = "0.1.0"
