"""How a user is called in a DICOM document: from the claims of a token to a Person Name (PS3.5 6.2.1).

The subject of a token is often a number that the issuer has drawn. What a person is called stands in claims of OpenID
Connect (Core 1.0, 5.1), of which an issuer may send any or none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

WHOLE_NAME = "name"  # OpenID Connect's claim, of which the next three are the parts
_PARTS = ("family_name", "given_name", "middle_name")  # in the order of a Person Name
_NUM_COMPONENTS = 5  # family, given, middle, prefix, suffix
_LONGEST = 64  # characters of all of them


def person_name_of(claims: Mapping[str, Any], name_claim: str) -> str:
    """What the person is called, as a Person Name of at most 64 characters.

    The parts of a name are told apart where the issuer does (`family_name` and `given_name`, which belong to `name`),
    where a comma does (`Lee, Ann`), or where the claim is a Person Name already (`Lee^Ann`). Else nobody can tell which
    word is the family's, and the whole stands as the family name.

    Args:
        claims: Of a token that was checked.
        name_claim: The claim to look into first; then `preferred_username`, then the subject.
    """
    parts = [_words(claims.get(part)) for part in _PARTS]
    if name_claim == WHOLE_NAME and parts[0] and parts[1]:
        return _join(part.replace("^", " ") for part in parts)
    named = (claims.get(claim) for claim in (name_claim, "preferred_username", "sub"))
    text = next((text for text in map(_words, named) if text), "")
    family, _, given = text.partition(",")
    return _join([family, given] if family and given and "^" not in text else text.split("^"))


def _words(value: object) -> str:
    """The words of a claim, without what separates names; empty where it cannot be used as text."""
    if not isinstance(value, str) or not value.isprintable():
        return ""
    text = " ".join(value.replace("\\", " ").replace("=", " ").split())
    return text if text.strip("^, ") else ""


def _join(components: Iterable[str]) -> str:
    """The five components that a Person Name has at most, as far as they go."""
    plain = [" ".join(component.split()) for component in components]
    name = "^".join(plain[:_NUM_COMPONENTS])[: _LONGEST - 1].rstrip("^ ")
    return name if "^" in name else f"{name}^"
