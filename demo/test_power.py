"""What of a file is on the disk, by notes of syncs."""

import pathlib
import tempfile
import unittest

from power import Disk


class DiskTest(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.directory = pathlib.Path(directory.name).resolve()
        (self.directory / "data").mkdir()
        self.wal, self.fsync_log = self.directory / "data" / "1.log", self.directory / "fsyncs"
        self.disk = Disk(self.directory / "data", self.fsync_log)

    def notes(self, text):
        with self.fsync_log.open("a") as log:
            log.write(text)

    def test_what_no_sync_told_of_is_not_on_the_disk(self):
        self.wal.write_bytes(b"x" * 10)
        self.assertEqual(self.disk.unsynced(), [(self.wal, 0)])
        self.notes(f"6 {self.wal}\n")
        self.assertEqual(self.disk.unsynced(), [(self.wal, 6)])
        self.notes(f"10 {self.wal}")
        self.assertEqual(self.disk.unsynced(), [(self.wal, 6)], "half a line")
        self.notes("\n")
        self.assertEqual(self.disk.unsynced(), [])

    def test_a_log_with_the_inode_of_a_deleted_one_is_not_synced_by_it(self):
        self.wal.write_bytes(b"x" * 10)
        self.notes(f"10 {self.wal}\n")
        self.assertEqual(self.disk.unsynced(), [])
        # As if it was deleted and its inode was given to another.
        anew = self.wal.rename(self.directory / "data" / "2.log")
        self.assertEqual(self.disk.unsynced(), [(anew, 0)])


if __name__ == "__main__":
    unittest.main()
