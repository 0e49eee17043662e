"""One file's bytes as a Linux page cache and a medium hold them; the lower half of fakes.files.SimFiles."""

from __future__ import annotations

from random import Random

SECTOR = 512
TORN = 0.05  # of the sectors that a cut finds unsynced


class Inode:
    """A file's bytes, in the cache and on the medium."""

    def __init__(self) -> None:
        self.cache, self.medium = bytearray(), bytearray()
        self.unsynced: dict[int, list[bytes]] = {}  # sector: what it held since the last sync, oldest first
        self.sizes = [0]  # the length on the medium, then those since

    def resize(self, size: int) -> None:
        del self.cache[size:]
        self.cache += bytes(size - len(self.cache))
        self.sizes.append(size)

    def write(self, data: bytes, offset: int) -> None:
        if offset + len(data) > len(self.cache):
            self.resize(offset + len(data))
        self.cache[offset : offset + len(data)] = data
        for sector in range(offset // SECTOR, -(-(offset + len(data)) // SECTOR)):
            self.unsynced.setdefault(sector, []).append(_sector(self.cache, sector))

    def sync(self) -> None:
        self._settle({sector: versions[-1] for sector, versions in self.unsynced.items()}, len(self.cache))

    def lose(self, rng: Random) -> None:
        """A sync fails: some sectors were written; others are gone, or stay in the cache as if they had been."""
        size = len(self.cache)
        fates = {sector: rng.randrange(3) for sector in self.unsynced}
        gone = [sector for sector, fate in fates.items() if fate == 1]
        self._settle({sector: self.unsynced[sector][-1] for sector, fate in fates.items() if fate == 0}, size)
        for sector in gone:
            _put(self.cache, sector, _sector(self.medium, sector))
        del self.cache[size:]

    def cut(self, rng: Random, whole_sectors: bool) -> None:
        """What was not synced is on the medium, or not, or in part."""
        keep = rng.choice((0.0, 0.5, 0.9, 1.0))
        kept = {}
        for sector, versions in self.unsynced.items():
            old, new = _sector(self.medium, sector), versions[-1] if rng.random() < 0.7 else rng.choice(versions)
            if rng.random() < TORN:
                at = rng.randrange(SECTOR)
                zeroed = bytes(SECTOR) if whole_sectors else bytes(a if a == b else 0 for a, b in zip(old, new))
                kept[sector] = rng.choice((new[:at] + old[at:], old[:at] + new[at:], zeroed))
            elif rng.random() < keep:
                kept[sector] = new
        self._settle(kept, rng.choice(self.sizes))
        self.cache = self.medium[:]

    def _settle(self, sectors: dict[int, bytes], size: int) -> None:
        """These sectors and this length are on the medium; nothing is left to write."""
        for sector, data in sectors.items():
            _put(self.medium, sector, data)
        del self.medium[size:]
        self.medium += bytes(size - len(self.medium))
        self.unsynced.clear()
        self.sizes = [size]


def _sector(data: bytearray, sector: int) -> bytes:
    return bytes(data[sector * SECTOR : (sector + 1) * SECTOR]).ljust(SECTOR, b"\0")


def _put(data: bytearray, sector: int, content: bytes) -> None:
    data += bytes(max(0, (sector + 1) * SECTOR - len(data)))
    data[sector * SECTOR : (sector + 1) * SECTOR] = content
