"""The coded concepts of the DICOM objects.

Standard concepts come from DICOM's context groups (PS3.16) wherever there is one. LIDC's characteristics and their
grades have the codes of lidc2dicom (QIICR/lidc2dicom; Fedorov et al., Medical Physics 2020, 10.1002/mp.14445), in which
the collection DICOM-LIDC-IDRI-Nodules is written; only the designator of RadLex is DICOM's own (RADLEX, PS3.16 table
8-1). What has no public code has one in our private scheme, which each object names.

LIDC's grades of malignancy are not used: their words speak of cancer, and our score is no grade. It is what four
radiologists would suspect.
"""

from __future__ import annotations

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from lung_nodules.stages.report_model import Density, Side, Suspicion

OWN_SCHEME = "99LUNGNODULES"
LIDC_SCHEME = "99LIDCQIICR"

NODULE = Code("27925004", "SCT", "Nodule")
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LUNG = Code("39607008", "SCT", "Lung")
LATERALITY = {
    Side.RIGHT: Code("24028007", "SCT", "Right"),
    Side.LEFT: Code("7771000", "SCT", "Left"),
}
PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
CHEST_CT = Code("24627-2", "LN", "CT Chest")
COMMENT = Code("121106", "DCM", "Comment")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
IMAGE_LIBRARY = Code("111028", "DCM", "Image Library")
IMAGE_LIBRARY_GROUP = Code("126200", "DCM", "Image Library Group")
SOURCE = Code("260753009", "SCT", "Source")

LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")
DIAMETER = Code("81827009", "SCT", "Diameter")
VOLUME = Code("118565006", "SCT", "Volume")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN = Code("373098007", "SCT", "Mean")
EQUIVALENT_DIAMETER = Code("EQ_SPHERE_DIAM", OWN_SCHEME, "Diameter of the sphere of equal volume")
SUSPICION_SCORE = Code("SUSPICION_SCORE", OWN_SCHEME, "LIDC readers' suspicion of malignancy if a nodule (0 to 1)")
OVERALL_SUSPICION = Code("OVERALL_SUSP", OWN_SCHEME, "LIDC readers' suspicion times probability of a nodule (0 to 1)")
NODULE_PROBABILITY = Code("NODULE_PROB", OWN_SCHEME, "Probability of a nodule, not a vessel or scar")

MILLIMETER = Code("mm", "UCUM", "mm")
CUBIC_MILLIMETER = Code("mm3", "UCUM", "mm3")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")

SUSPICION = Code("SUSPICION", OWN_SCHEME, "LIDC readers' suspicion of malignancy")
SUSPICIONS: dict[Suspicion, Code] = {
    "suspicious": Code("SUSPICIOUS", OWN_SCHEME, "Suspicious"),
    "indeterminate": Code("INDETERMINATE", OWN_SCHEME, "Indeterminate"),
    "unlikely": Code("UNLIKELY", OWN_SCHEME, "Unlikely"),
}
SUSPICION_RATING = Code("SUSPICION_RATING", OWN_SCHEME, "A reader's suspicion of malignancy (1 to 5)")
VERDICT = Code("VERDICT", OWN_SCHEME, "A reader's verdict on a finding")
VERDICTS = {
    "accepted": Code("ACCEPTED", OWN_SCHEME, "Accepted"),
    "rejected": Code("REJECTED", OWN_SCHEME, "Rejected"),
    "corrected": Code("CORRECTED", OWN_SCHEME, "Corrected"),
}
DENSITY = Code("DENSITY", OWN_SCHEME, "Density by share of solid tissue")
DENSITIES = {
    Density.SOLID: Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    Density.PART_SOLID: Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
    Density.GROUND_GLASS: Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
}

_CHARACTERISTICS = {
    "subtlety": Code("C45992", "NCIt", "Subtlety score"),
    "internal_structure": Code("200", LIDC_SCHEME, "Internal structure"),
    "calcification": Code("C3672", "NCIt", "Calcification"),
    "sphericity": Code("400", LIDC_SCHEME, "Sphericity"),
    "margin": Code("C25563", "NCIt", "Margin"),
    "lobulation": Code("C62175", "NCIt", "Lobular Pattern"),
    "spiculation": Code("C28749", "NCIt", "Spiculation"),
    "texture": Code("C41144", "NCIt", "Texture"),
}
_NOMINAL = {"internal_structure", "calcification"}
_NEAREST_MIX = 1 / 4  # of a grade: of LIDC's four readers, three give it and one its neighbour


def _of_five(number: int) -> Code:
    return Code(f"{number:03d}", LIDC_SCHEME, f"{number} out of 5")


_GRADES = {
    "subtlety": (
        Code("101", LIDC_SCHEME, "1 out of 5 (Extremely subtle)"),
        Code("102", LIDC_SCHEME, "2 out of 5 (Moderately subtle)"),
        Code("103", LIDC_SCHEME, "3 out of 5 (Fairly subtle)"),
        Code("104", LIDC_SCHEME, "4 out of 5 (Moderately obvious)"),
        Code("105", LIDC_SCHEME, "5 out of 5 (Obvious)"),
    ),
    "internal_structure": (
        Code("C12471", "NCIt", "Soft tissue"),
        Code("C25278", "NCIt", "Fluid"),
        Code("C12472", "NCIt", "Adipose tissue"),
        Code("C73434", "NCIt", "Air"),
    ),
    "calcification": (
        Code("RID35453", "RADLEX", "Popcorn calcification sign"),
        Code("302", LIDC_SCHEME, "Laminated appearance"),
        Code("RID5741", "RADLEX", "Solid appearance"),
        Code("304", LIDC_SCHEME, "Non-central appearance"),
        Code("RID5827", "RADLEX", "Central calcification"),
        Code("RID28473", "RADLEX", "Absent"),
    ),
    "sphericity": (
        Code("RID5811", "RADLEX", "linear"),
        _of_five(2),
        Code("RID5800", "RADLEX", "ovoid"),
        _of_five(4),
        Code("RID5799", "RADLEX", "round"),
    ),
    "margin": (
        Code("RID5709", "RADLEX", "Indistinct margin"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("RID5707", "RADLEX", "Circumscribed margin"),
    ),
    "lobulation": (
        Code("601", LIDC_SCHEME, "1 out of 5 (No lobulation)"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("605", LIDC_SCHEME, "5 out of 5 (Marked lobulation)"),
    ),
    "spiculation": (
        Code("701", LIDC_SCHEME, "1 out of 5 (No spiculation)"),
        _of_five(2),
        _of_five(3),
        _of_five(4),
        Code("705", LIDC_SCHEME, "5 out of 5 (Marked spiculation)"),
    ),
    "texture": (
        Code("RID50153", "RADLEX", "non-solid pulmonary nodule"),
        _of_five(2),
        Code("RID50152", "RADLEX", "part-solid pulmonary nodule"),
        _of_five(4),
        Code("RID50151", "RADLEX", "solid pulmonary nodule"),
    ),
}


def grade_characteristic(name: str, rating: float) -> tuple[Code, Code] | None:
    """Code an expected rating as the grade that is nearest to it.

    Internal structure and calcification are kinds and no grades, so a mean of readers' answers between two kinds is
    neither. They are coded only at the ends of LIDC's list (soft tissue, no calcification, ...), less than a quarter of
    a grade away: no mean of up to four readers who differ comes as near.

    Args:
        name: LIDC's name of the characteristic.
        rating: On LIDC's scale, which begins with 1.

    Returns:
        The characteristic and its grade; None where it has none.
    """
    if name not in _CHARACTERISTICS:
        return None
    grades = _GRADES[name]
    if name in _NOMINAL and 1 + _NEAREST_MIX <= rating <= len(grades) - _NEAREST_MIX:
        return None
    place = min(max(round(rating), 1), len(grades))
    return _CHARACTERISTICS[name], grades[place - 1]


def code_rating(name: str, rating: int) -> tuple[Code, Code]:
    """Code one reader's own rating of a characteristic, which is always one of the grades.

    Args:
        name: LIDC's name of the characteristic, in snake case.
        rating: On LIDC's scale, which begins with 1.
    """
    return _CHARACTERISTICS[name], _GRADES[name][rating - 1]


def coding_schemes() -> list[CodingSchemeIdentificationItem]:
    """What the private designators stand for (PS3.3 C.12.1)."""
    return [
        CodingSchemeIdentificationItem(OWN_SCHEME, name="lung-nodules", responsible_organization="lung-nodules"),
        CodingSchemeIdentificationItem(LIDC_SCHEME, name="lidc2dicom", responsible_organization="QIICR"),
    ]
