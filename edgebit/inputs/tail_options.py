"""The option table of tail. Names and defaults are Fluent Bit's; where edgebit does otherwise, the help says so."""

from __future__ import annotations

from edgebit.inputs.tail_charset import generic_name, unicode_name
from edgebit.inputs.tail_paths import paths
from edgebit.onigmo import compile_regex
from edgebit.options import REQUIRED, Option, boolean, duration, multiline_ref, plugin_ref, size, string, strings
from edgebit.plugin import READ_SIZE

_NOTHING = "without effect: "

OPTIONS = (
    Option("path", paths, REQUIRED, "files or patterns (* ? [...]) to follow, separated by commas; ~ is the home"),
    Option("exclude_path", strings, [], "patterns of files to leave out; * takes slashes too"),
    Option("key", string, "log", "field for a line that no parser took"),
    Option("path_key", string, "", "field for the file's name as `path` matched it"),
    Option("offset_key", string, "", "field for the byte offset of the line's start"),
    Option("parser", plugin_ref, None, "turns each line into fields; lines that don't match are kept and counted"),
    Option("multiline.parser", multiline_ref, [], "joins lines that belong together, by the first of these that can",
           multiple=True),
    Option("tag_regex", compile_regex, None, "searched in the file's name; its groups fill <name> in the tag"),
    Option("read_from_head", boolean, False, "read files that are there at the very first start from their beginning"),
    Option("read_newly_discovered_files_from_head", boolean, True,
           "read files that appear later, or while edgebit was stopped, from their beginning"),
    Option("refresh_interval", duration, 60.0, "time between searches for new files; inotify finds most at once",
           minimum=0.1),
    Option("rotate_wait", duration, 5.0, "time to wait for late lines in a rotated file that was read to its end"),
    Option("ignore_older", duration, 0.0, "leave out files not changed for so long when they are found; 0: none"),
    Option("ignore_active_older_files", boolean, False,
           "with ignore_older: also let go of files that have become that old, when they are read to their ends"),
    Option("skip_empty_lines", boolean, False, "make no records of empty lines"),
    Option("skip_long_lines", boolean, False, "leave lines longer than buffer_max_size out; they are cut otherwise"),
    Option("truncate_long_lines", boolean, False, "cut them even if skip_long_lines is on"),
    Option("buffer_max_size", size, 32768, "bytes of the longest whole line, and one", minimum=64, maximum=1 << 30),
    Option("buffer_chunk_size", size, READ_SIZE, "bytes read in one turn of the loop, at most 1 MiB", minimum=64),
    Option("exit_on_eof", boolean, False, "end edgebit when the files have been read to their ends"),
    Option("unicode.encoding", unicode_name, "", "what the files are in: UTF-16LE, UTF-16BE, UTF-8, or auto to find out"),
    Option("generic.encoding", generic_name, "", "or another set of characters: ShiftJIS, GBK, Big5, UHC, Win1252 and more"),
    Option("multiline", boolean, False, "older way to join lines: to the last field of what parser_firstline takes"),
    Option("multiline_flush", duration, 4.0, "multiline: time without another line after which a record is complete",
           minimum=0.1),
    Option("parser_firstline", plugin_ref, None, "multiline: takes the first line of a record"),
    *(Option(f"parser_{n}", plugin_ref, None, "multiline: takes further lines, fields are added") for n in range(1, 10)),
    Option("docker_mode", boolean, False, "join the parts of docker's JSON lines; multiline.parser is the newer way"),
    Option("docker_mode_flush", duration, 4.0, "docker_mode: time without another part after which a line is complete",
           minimum=0.1),
    Option("docker_mode_parser", plugin_ref, None, "docker_mode: takes the first of lines that belong together"),
    Option("db", string, "", 'file to keep the positions in (edgebit\'s format); default: in the state directory, named'
           ' after the input; "off": none; a database of Fluent Bit is read once, then it is NAME.edgebit'),
    Option("db.sync", ("extra", "full", "normal", "off"), "normal",
           "extra, full: every save reaches the medium; normal: that at stop; off: left to the system"),
    Option("db.interval", duration, 1.0, "time between saves at least; longer spares flash, repeats more after a crash",
           minimum=1.0),
    Option("inotify_watcher", boolean, True, "let the kernel tell of changes; off: look every second"),
    Option("db.locking", boolean, False, _NOTHING + "nothing else opens the file"),
    Option("db.journal_mode", string, "wal", _NOTHING + "there is no journal"),
    Option("db.compare_filename", boolean, False, _NOTHING + "files are known by inode and content"),
    Option("static_batch_size", size, 50_000_000, _NOTHING + "see buffer_chunk_size"),
    Option("event_batch_size", size, 50_000_000, _NOTHING + "see buffer_chunk_size"),
    Option("watcher_interval", duration, 2.0, _NOTHING + "rotation is noticed at once"),
    Option("progress_check_interval", duration, 2.0, _NOTHING + "files are looked at often enough"),
    Option("file_cache_advise", boolean, True, _NOTHING + "the page cache is left alone"),
)  # fmt: skip
