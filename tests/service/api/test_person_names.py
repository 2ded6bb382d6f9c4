"""How a user is called in a DICOM document, by the claims of his token."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.valuerep import PersonName, validate_value

from lung_nodules.service.security.names import person_name_of

SUB = "4b1e6c1e-6c5c-4f0e-9d3f-3c8e2f0c0b62"


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "Ann Lee", "given_name": "Ann", "family_name": "Lee"}, "Lee^Ann"),
        ({"given_name": "Ann", "family_name": "Lee", "middle_name": "Bo"}, "Lee^Ann^Bo"),
        ({"name": "Ann van der Lee", "given_name": "Ann", "family_name": "van der Lee"}, "van der Lee^Ann"),
        ({"name": "Ann Lee", "family_name": "Lee"}, "Ann Lee^"),  # half of the parts is not the whole
        ({"name": "Ann Lee"}, "Ann Lee^"),  # which word is the family's name nobody can tell
        ({"name": "Lee, Ann"}, "Lee^Ann"),
        ({"name": "Lee^Ann^^Dr"}, "Lee^Ann^^Dr"),
        ({"name": "李安"}, "李安^"),
        ({"name": "李 安", "given_name": "安", "family_name": "李"}, "李^安"),
        ({"preferred_username": "alee"}, "alee^"),
        ({"name": "", "preferred_username": "alee"}, "alee^"),
        ({"name": "^^", "preferred_username": "alee"}, "alee^"),
        ({"name": ["Ann Lee"], "preferred_username": 7}, f"{SUB}^"),
        ({"name": "Ann\nLee"}, f"{SUB}^"),
        ({}, f"{SUB}^"),
        ({"given_name": "A=n\\n", "family_name": "L^ee"}, "L ee^A n n"),
        ({"name": "a^b^c^d^e^f^g"}, "a^b^c^d^e"),
    ],
)
def test_a_name_is_written_as_well_as_can_be_told(claims: dict[str, Any], name: str) -> None:
    assert person_name_of({"sub": SUB, **claims}, "name") == name


def test_a_site_may_name_another_claim() -> None:
    claims = {"sub": SUB, "name": "Ann Lee", "given_name": "Ann", "family_name": "Lee", "dicom_name": "Lee^Ann^B"}
    assert person_name_of(claims, "dicom_name") == "Lee^Ann^B"
    assert person_name_of({**claims, "preferred_username": "alee"}, "missing") == "alee^"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # a machine may be busy
@given(
    st.dictionaries(
        st.sampled_from(["name", "given_name", "family_name", "middle_name", "preferred_username"]),
        st.text(max_size=90) | st.integers() | st.none() | st.lists(st.text(max_size=3)),
    )
)
def test_whatever_the_claims_hold_it_is_a_person_name(claims: dict[str, Any]) -> None:
    name = person_name_of({"sub": SUB, **claims}, "name")
    validate_value("PN", name, 2)  # pydicom's RAISE
    assert 2 <= len(name) <= 64
    assert name.isprintable()
    assert name.count("^") <= 4
    assert str(PersonName(name)).strip("^ ")
