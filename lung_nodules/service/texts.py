"""What a text that a client sends may hold where it is compared with the database's, which holds no NUL."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]  # no control character
