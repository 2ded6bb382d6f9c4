"""Studies in and out of an archive: DICOMweb, DIMSE or a folder behind one protocol."""
