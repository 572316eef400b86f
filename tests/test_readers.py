"""JSON Lines: good files give rows, bad files give one error that says where and what to do."""

import gzip
import json
from pathlib import Path

import pytest

from semcse.readers import DataError, read_jsonl, require

ROWS = [{"title": "Größe"}, {"title": "β-decay"}]
TEXT = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.jsonl", TEXT.encode()),
        ("with_bom.jsonl", b"\xef\xbb\xbf" + TEXT.encode()),
        ("packed.jsonl.gz", gzip.compress(TEXT.encode())),
        ("packed_without_ending.jsonl", gzip.compress(TEXT.encode())),
    ],
)
def test_reads_rows(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert list(read_jsonl(path)) == [(1, ROWS[0]), (2, ROWS[1])]


def test_line_numbers_count_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "blank.jsonl"
    path.write_text('\n{"a": 1}\n\n{"a": 2}\n')
    assert [number for number, _ in read_jsonl(path)] == [2, 4]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("text.jsonl.gz", TEXT.encode(), "not readable as gzip"),
        ("cut.jsonl.gz", gzip.compress(TEXT.encode())[:-9], "not readable as gzip"),
        ("latin.jsonl", b'{"title": "fine"}\n' + '{"title": "Größe"}'.encode("latin-1"), "line 2: not UTF-8"),
        ("broken.jsonl", b'{"title": "fine"}\n{"title": ', "line 2: not JSON"),
        ("list.jsonl", b"[1, 2]\n", "line 1: expected a JSON object, got list"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=expected) as caught:
        list(read_jsonl(path))
    assert str(path) in str(caught.value)


def test_damaged_gzip_body(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT.encode() * 50))
    packed[20:40] = b"\x00" * 20
    path = tmp_path / "damaged.jsonl.gz"
    path.write_bytes(packed)
    with pytest.raises(DataError, match="damaged, cut off"):
        list(read_jsonl(path))


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        list(read_jsonl(tmp_path / "nowhere.jsonl"))
    with pytest.raises(DataError, match="is a folder"):
        list(read_jsonl(tmp_path))


def test_require() -> None:
    assert require({"title": "T"}, "title", "f.jsonl", 3) == "T"
    with pytest.raises(DataError, match=r"f\.jsonl, line 3: no key 'title'; the line has \['name'\]"):
        require({"name": "T"}, "title", "f.jsonl", 3)
    with pytest.raises(DataError, match="'title' should be str, got 7"):
        require({"title": 7}, "title", "f.jsonl", 3)
