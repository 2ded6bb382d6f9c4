"""What readers say about findings: accepted, rejected, corrected; and what becomes of it.

`store` keeps every word, `corrected` applies the latest to the report, `objects` writes it as DICOM, `labels` as
training labels, and `routes` is the door.
"""
