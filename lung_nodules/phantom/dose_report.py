"""The X-Ray Radiation Dose Structured Report that scanners send with a study (DICOM PS3.16 TID 10011)."""

from __future__ import annotations

from pydicom.dataset import Dataset, FileDataset
from pydicom.sequence import Sequence

from lung_nodules.phantom.headers import CONTENT_DATE, CONTENT_TIME, KVP, StudyIdentity, new_object, set_instance

_XRAY_RADIATION_DOSE_SR = "1.2.840.10008.5.1.4.1.1.88.67"
_SERIES_NUMBER = 997
_MEAN_CTDI_MGY = 4.2

_Code = tuple[str, str, str]  # value, scheme, meaning
_MGY: _Code = ("mGy", "UCUM", "mGy")
_MGY_CM: _Code = ("mGy.cm", "UCUM", "mGy.cm")
_MM: _Code = ("mm", "UCUM", "mm")
_CHEST: _Code = ("51185008", "SCT", "Chest")


def dose_report(identity: StudyIdentity, length_mm: float) -> FileDataset:
    """The dose report of one helical scan of the chest.

    Args:
        identity: Of the study.
        length_mm: Length that was scanned.
    """
    report = new_object(identity, _XRAY_RADIATION_DOSE_SR, "dose", _SERIES_NUMBER)
    set_instance(report, identity.uid("dose", 1), 1)
    report.Modality = "SR"
    report.SeriesDescription = "Dose Report"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ReferencedPerformedProcedureStepSequence = Sequence()
    report.PerformedProcedureCodeSequence = Sequence()
    template = Dataset()
    template.MappingResource, template.TemplateIdentifier = "DCMR", "10011"
    report.ContentTemplateSequence = Sequence([template])
    root = _container(("113701", "DCM", "X-Ray Radiation Dose Report"), _content(identity, length_mm))
    del root.RelationshipType  # a document's root stands in no relation
    report.update(root)
    return report


def _content(identity: StudyIdentity, length_mm: float) -> list[Dataset]:
    dose_length = round(_MEAN_CTDI_MGY * length_mm / 10, 2)
    procedure = _coded(
        ("121058", "DCM", "Procedure reported"), ("77477000", "SCT", "Computed tomography"), "HAS CONCEPT MOD"
    )
    intent = _coded(("363703001", "SCT", "Has Intent"), ("261004008", "SCT", "Diagnostic Intent"), "HAS CONCEPT MOD")
    procedure.ContentSequence = Sequence([intent])
    return [
        procedure,
        _coded(("121005", "DCM", "Observer Type"), ("121007", "DCM", "Device"), "HAS OBS CONTEXT"),
        _uid(("121012", "DCM", "Device Observer UID"), identity.uid("device"), "HAS OBS CONTEXT"),
        _time(("113809", "DCM", "Start of X-Ray Irradiation"), CONTENT_TIME),
        _time(("113810", "DCM", "End of X-Ray Irradiation"), "100010"),
        _coded(("113705", "DCM", "Scope of Accumulation"), ("113014", "DCM", "Study"), scope=identity),
        _container(
            ("113811", "DCM", "CT Accumulated Dose Data"),
            [
                _number(("113812", "DCM", "Total Number of Irradiation Events"), 1, ("{events}", "UCUM", "events")),
                _number(("113813", "DCM", "CT Dose Length Product Total"), dose_length, _MGY_CM),
            ],
        ),
        _container(("113819", "DCM", "CT Acquisition"), _acquisition(identity, length_mm, dose_length)),
        _coded(("113854", "DCM", "Source of Dose Information"), ("113856", "DCM", "Automated Data Collection")),
    ]


def _acquisition(identity: StudyIdentity, length_mm: float, dose_length: float) -> list[Dataset]:
    settings = identity.settings
    seconds: _Code = ("s", "UCUM", "s")
    parameters = [
        _number(("113824", "DCM", "Exposure Time"), 10, seconds),
        _number(("113825", "DCM", "Scanning Length"), round(length_mm, 2), _MM),
        _number(("113826", "DCM", "Nominal Single Collimation Width"), 0.6, _MM),
        _number(("113827", "DCM", "Nominal Total Collimation Width"), 38.4, _MM),
        _number(("113828", "DCM", "Pitch Factor"), 1, ("{ratio}", "UCUM", "ratio")),
        _number(("113823", "DCM", "Number of X-Ray Sources"), 1, ("{X-Ray sources}", "UCUM", "X-Ray sources")),
        _container(
            ("113831", "DCM", "CT X-Ray Source Parameters"),
            [
                _text(("113832", "DCM", "Identification of the X-Ray Source"), "1"),
                _number(("113733", "DCM", "KVP"), int(KVP), ("kV", "UCUM", "kV")),
                _number(("113833", "DCM", "Maximum X-Ray Tube Current"), 120, ("mA", "UCUM", "mA")),
                _number(("113734", "DCM", "X-Ray Tube Current"), 100, ("mA", "UCUM", "mA")),
                _number(("113834", "DCM", "Exposure Time per Rotation"), 0.5, seconds),
            ],
        ),
    ]
    dose = [
        _number(("113830", "DCM", "Mean CTDIvol"), _MEAN_CTDI_MGY, _MGY),
        _coded(("113835", "DCM", "CTDIw Phantom Type"), ("113691", "DCM", "IEC Body Dosimetry Phantom")),
        _number(("113838", "DCM", "DLP"), dose_length, _MGY_CM),
    ]
    return [
        _text(("125203", "DCM", "Acquisition Protocol"), f"Chest phantom {settings.seed}"),
        _coded(("123014", "DCM", "Target Region"), _CHEST),
        _coded(("113820", "DCM", "CT Acquisition Type"), ("116152004", "SCT", "Spiral Acquisition")),
        _coded(("408730004", "SCT", "Procedure Context"), ("110321005", "SCT", "CT without contrast")),
        _uid(("113769", "DCM", "Irradiation Event UID"), identity.uid("irradiation")),
        _container(("113822", "DCM", "CT Acquisition Parameters"), parameters),
        _container(("113829", "DCM", "CT Dose"), dose),
    ]


def _code(code: _Code) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code
    return Sequence([item])


def _item(kind: str, name: _Code, relation: str = "CONTAINS") -> Dataset:
    item = Dataset()
    item.RelationshipType = relation
    item.ValueType = kind
    item.ConceptNameCodeSequence = _code(name)
    return item


def _container(name: _Code, content: list[Dataset]) -> Dataset:
    item = _item("CONTAINER", name)
    item.ContinuityOfContent = "SEPARATE"
    item.ContentSequence = Sequence(content)
    return item


def _coded(name: _Code, value: _Code, relation: str = "CONTAINS", scope: StudyIdentity | None = None) -> Dataset:
    item = _item("CODE", name, relation)
    item.ConceptCodeSequence = _code(value)
    if scope is not None:
        study = _uid(("110180", "DCM", "Study Instance UID"), scope.study_instance_uid, "HAS PROPERTIES")
        item.ContentSequence = Sequence([study])
    return item


def _number(name: _Code, value: float, unit: _Code) -> Dataset:
    item = _item("NUM", name)
    measured = Dataset()
    measured.NumericValue = str(value)
    measured.MeasurementUnitsCodeSequence = _code(unit)
    item.MeasuredValueSequence = Sequence([measured])
    return item


def _text(name: _Code, value: str) -> Dataset:
    item = _item("TEXT", name)
    item.TextValue = value
    return item


def _uid(name: _Code, value: str, relation: str = "CONTAINS") -> Dataset:
    item = _item("UIDREF", name, relation)
    item.UID = value
    return item


def _time(name: _Code, clock: str) -> Dataset:
    item = _item("DATETIME", name)
    item.DateTime = CONTENT_DATE + clock
    return item
