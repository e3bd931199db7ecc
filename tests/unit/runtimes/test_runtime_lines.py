"""Lines and frames: however the bytes arrive, the same lines come out, and memory stays bounded."""

from __future__ import annotations

import struct
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmate_airflow.runtimes.base import Limits, OutputLimitExceeded, RuntimeFailure
from flowmate_airflow.runtimes.frames import Frames
from flowmate_airflow.runtimes.lines import LineSplitter, LogSplitter, Output, show_size

TEXT = st.lists(st.sampled_from([b"\n", b"a", b"bcd", b"\x00\xff", b"0123456789"])).map(b"".join)


def chunked(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def split(splitter: LineSplitter | LogSplitter, chunks: list[bytes]) -> list[bytes]:
    lines = [line for chunk in chunks for line in splitter.feed(chunk)]
    return lines + list(splitter.finish())


def split_or_too_long(chunks: list[bytes], limit: int) -> tuple[list[bytes], bool]:
    splitter, lines = LineSplitter(limit), []
    try:
        for chunk in chunks:
            for line in splitter.feed(chunk):
                lines.append(line)
        lines.extend(splitter.finish())
    except OutputLimitExceeded:
        return lines, True
    return lines, False


@given(TEXT, st.lists(st.integers(0, 10_000)))
def test_lines_do_not_depend_on_chunks(data: bytes, cuts: list[int]) -> None:
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert split(LineSplitter(10_000), chunked(data, cuts)) == expected


@given(TEXT, st.lists(st.integers(0, 10_000)), st.integers(1, 20))
def test_the_line_limit_does_not_depend_on_chunks(data: bytes, cuts: list[int], limit: int) -> None:
    expected: list[bytes] = []
    too_long = False
    for line in data.split(b"\n"):
        too_long = len(line) > limit
        if too_long:
            break
        expected.append(line)
    if not too_long and not expected[-1]:
        expected.pop()
    assert split_or_too_long(chunked(data, cuts), limit) == (expected, too_long)


@given(TEXT, st.lists(st.integers(0, 10_000)), st.integers(1, 20), st.integers(1, 60))
def test_log_lines_do_not_depend_on_chunks(data: bytes, cuts: list[int], line: int, total: int) -> None:
    assert split(LogSplitter(line, total), chunked(data, cuts)) == split(LogSplitter(line, total), [data])


def test_a_long_log_line_is_cut_and_says_by_how_much() -> None:
    assert split(LogSplitter(5, 100), [b"123", b"45678\n", b"next\n"]) == [b"12345 (3 more bytes)", b"next"]


def test_a_log_over_its_limit_is_dropped_and_counted() -> None:
    lines = split(LogSplitter(100, 10), [b"12345\n", b"67890\n", b"abc\n"])
    assert lines == [b"12345", b"6789", b"(6 more bytes of the component's log were dropped)"]


def test_a_line_of_single_bytes_costs_no_more_than_its_length() -> None:
    splitter = LineSplitter(1_000_000)
    tracemalloc.start()
    try:
        for _ in range(200_000):
            assert not list(splitter.feed(b"x"))
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_all_output_over_its_limit_is_an_error_after_the_lines_within_it() -> None:
    output = Output(Limits(output=6))
    seen: list[bytes] = []

    def read() -> None:
        for chunk in (b"abc\nd", b"e\nfgh\n"):
            seen.extend(line for _, line in output.feed("stdout", chunk))

    with pytest.raises(OutputLimitExceeded, match="more than 6 bytes in all"):
        read()
    assert seen == [b"abc"]


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BxxxL", kind, len(payload)) + payload


FRAMES = st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=30)))


@given(FRAMES, st.lists(st.integers(0, 10_000)))
def test_frames_do_not_depend_on_chunks(parts: list[tuple[int, bytes]], cuts: list[int]) -> None:
    frames = Frames()
    out = {"stdout": b"", "stderr": b""}
    for chunk in chunked(b"".join(frame(*part) for part in parts), cuts):
        for stream, data in frames.feed(chunk):
            out[stream] += data
    frames.finish()
    assert out["stdout"] == b"".join(data for kind, data in parts if kind == 1)
    assert out["stderr"] == b"".join(data for kind, data in parts if kind == 2)


def test_neighbouring_frames_come_out_as_one_chunk_in_order() -> None:
    data = frame(1, b"a") + frame(1, b"b") + frame(2, b"c") + frame(1, b"d")
    assert list(Frames().feed(data)) == [("stdout", b"ab"), ("stderr", b"c"), ("stdout", b"d")]


@pytest.mark.parametrize("cut", [1, 8, 10])
def test_a_connection_that_breaks_in_a_frame_is_an_error(cut: int) -> None:
    frames = Frames()
    list(frames.feed(frame(1, b"abcdef")[:cut]))
    with pytest.raises(RuntimeFailure, match="broke in the middle") as failure:
        frames.finish()
    assert failure.value.retry


def test_a_stream_that_is_none_of_ours_is_an_error() -> None:
    with pytest.raises(RuntimeFailure, match="unknown stream 72"):
        list(Frames().feed(b"HTTP/1.1 400 Bad Request"))


@pytest.mark.parametrize(("size", "text"), [(100, "100 bytes"), (512 * 1024**2, "512m"), (1536 * 1024**2, "1.5g")])
def test_sizes_are_shown_as_people_write_them(size: int, text: str) -> None:
    assert show_size(size) == text
