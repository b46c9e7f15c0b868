from __future__ import annotations

import pytest
from contract.chat.archive_contract import ArchiveContract, MemoryArchive


class TestMemoryArchive(ArchiveContract):
    @pytest.fixture
    def archive(self) -> MemoryArchive:
        return MemoryArchive()
