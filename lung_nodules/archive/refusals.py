"""What an archive can refuse or get wrong, with a coded reason; `heals` says whether asking again later can help."""

from __future__ import annotations

from lung_nodules.errors import ExitCode, Refusal


class ArchiveRefusal(Refusal):
    """An archive could not be asked, or its answer cannot be used.

    Args:
        code: One of `HEALING` or `LASTING`.
        sentence: One sentence for the user; holds neither an identity nor a UID.
        advice: What can be done about it.
        retry_after_s: What the archive asked us to wait.
    """

    exit_code = ExitCode.NO_USABLE_CT

    def __init__(self, code: str, sentence: str, advice: str = "", retry_after_s: float | None = None) -> None:
        super().__init__(code, sentence, advice)
        assert code in HEALING or code in LASTING, code
        self.retry_after_s = retry_after_s

    @property
    def heals(self) -> bool:
        """Whether the same request may succeed later without anybody changing anything."""
        return self.code in HEALING


class PushRefusal(ArchiveRefusal):
    """Results did not arrive in an archive."""

    exit_code = ExitCode.OUTPUT_NOT_WRITTEN


HEALING = {
    "archive-unreachable": "No connection, or it broke off.",
    "archive-timeout": "The archive did not answer in time.",
    "archive-busy": "The archive says that it cannot answer now.",
    "archive-error": "The archive failed on its side.",
    "archive-short-count": "Fewer instances came than the archive lists or counts.",
    "archive-bad-answer": "The answer is damaged or not what was asked for.",
    "cache-full": "The disk of the cache is full.",
    "push-not-confirmed": "The archive took the objects, and a query does not find them.",
}
LASTING = {
    "study-not-found": "The archive holds no such study.",
    "series-not-found": "The archive holds no such series.",
    "archive-auth": "The archive does not accept our credentials, or our AE title.",
    "archive-tls": "The archive's certificate is not trusted.",
    "archive-not-supported": "The archive cannot do what was asked.",
    "archive-redirect": "The archive points to another address; redirects are not followed.",
    "archive-origin": "An address that is not on the allow-list.",
    "archive-settings": "The settings of the archive cannot be used.",
    "archive-too-large": "An answer or an instance is above its size limit.",
    "bad-query": "The query cannot be asked.",
    "bad-uid": "A UID holds what a UID cannot hold.",
    "push-rejected": "The archive refused objects.",
    "push-nothing": "There is nothing to push.",
}
