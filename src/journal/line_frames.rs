//! Compressed outputs: files named `*.zst`, in which each commit is one zstd frame with the lines of its items.
//!
//! Frames are independent of each other, so such a file is cut, verified and repaired like any other output: offsets and
//! checksums in the commit log are those of its compressed bytes, and its decompressed bytes are the lines. `writer` and
//! `rewrite` encode; `rewrite` decodes the frames of a commit, `line_reader` whole files for reports.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use zstd::bulk::Compressor;
use zstd::stream::read::Decoder;
use zstd::zstd_safe::compress_bound;

use super::disk::{Disk, RealDisk};

/// On hundreds of similar lines, higher levels save a tenth of the bytes for up to ten times the work.
const LEVEL: i32 = 1;

/// Encodes frames, with one context and one buffer for all of them.
pub(super) struct FrameEncoder {
    context: Compressor<'static>,
    frame: Vec<u8>,
}

impl FrameEncoder {
    /// Returns an encoder for the output `path`; `None` if its lines are stored as they are.
    pub(super) fn of_output(path: &Path) -> io::Result<Option<Self>> {
        if !is_compressed(path) {
            return Ok(None);
        }
        Ok(Some(Self { context: Compressor::new(LEVEL)?, frame: Vec::new() }))
    }

    /// Returns the frame that holds `lines`.
    pub(super) fn encode(&mut self, lines: &[u8]) -> io::Result<&[u8]> {
        self.frame.clear();
        self.frame.reserve(compress_bound(lines.len()));
        self.context.compress_to_buffer(lines, &mut self.frame)?;
        Ok(&self.frame)
    }
}

/// Returns `lines` as the output `path` stores them.
pub(super) fn encode<'lines>(path: &Path, lines: &'lines [u8]) -> io::Result<Cow<'lines, [u8]>> {
    if is_compressed(path) { zstd::bulk::compress(lines, LEVEL).map(Cow::Owned) } else { Ok(lines.into()) }
}

/// Returns the lines in `frames`, bytes of the output `path` that begin and end at frame boundaries.
pub(super) fn decode(path: &Path, frames: Vec<u8>) -> io::Result<Vec<u8>> {
    // To the decoder, no bytes are a frame that was cut off.
    if is_compressed(path) && !frames.is_empty() { zstd::stream::decode_all(&*frames) } else { Ok(frames) }
}

/// Opens a file of lines; decompresses it if its name says that it is compressed. A frame that the file ends within is
/// read as far as it goes if `torn_end` is set, as in a run that is still going; else it is an error.
pub fn line_reader(path: &Path, torn_end: bool) -> io::Result<Box<dyn BufRead + Send>> {
    const BUFFER: usize = 1 << 16;
    let mut file = BufReader::with_capacity(BUFFER, RealDisk.read(path)?);
    if !is_compressed(path) || file.fill_buf()?.is_empty() {
        return Ok(Box::new(file));
    }
    let frames = FrameReader { decoder: Decoder::with_buffer(file)?, torn_end };
    Ok(Box::new(BufReader::with_capacity(BUFFER, frames)))
}

fn is_compressed(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "zst")
}

struct FrameReader {
    decoder: Decoder<'static, BufReader<Box<dyn Read + Send>>>,
    torn_end: bool,
}

impl Read for FrameReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.decoder.read(buffer) {
            Err(error) if self.torn_end && error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(groups: &[&str]) -> Vec<Vec<u8>> {
        let mut encoder = FrameEncoder::of_output(Path::new("lines.jsonl.zst")).unwrap().unwrap();
        groups.iter().map(|lines| encoder.encode(lines.as_bytes()).unwrap().to_vec()).collect()
    }

    #[test]
    fn frames_are_read_alone_and_in_a_row() {
        let long = "{\"id\": 1}\n".repeat(50_000);
        let groups = ["{}\n", &long, "[]\n"];
        let path = Path::new("lines.jsonl.zst");
        for (frame, lines) in frames(&groups).into_iter().zip(groups) {
            assert_eq!(decode(path, frame).unwrap(), lines.as_bytes());
        }
        assert_eq!(decode(path, frames(&groups).concat()).unwrap(), groups.concat().as_bytes());
        assert_eq!(decode(path, Vec::new()).unwrap(), b"");
    }

    #[test]
    fn other_outputs_are_stored_as_they_are() {
        let path = Path::new("provenance/records.jsonl");
        assert!(FrameEncoder::of_output(path).unwrap().is_none());
        assert_eq!(decode(path, b"{}\n".to_vec()).unwrap(), b"{}\n");
    }

    #[test]
    fn a_file_is_read_to_its_last_whole_frame_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = 0;
        let mut read = |bytes: &[u8], torn_end| {
            files += 1;
            let path = folder.path().join(format!("{files}.jsonl.zst"));
            RealDisk.append(&path).unwrap().write(bytes).unwrap();
            let mut text = String::new();
            line_reader(&path, torn_end).and_then(|mut lines| lines.read_to_string(&mut text)).map(|_| text)
        };
        let [one, two] = frames(&["{\"a\":1}\n", "{\"b\":2}\n"]).try_into().unwrap();
        let whole = [&one[..], &two].concat();
        for end in 0..=whole.len() {
            let expected = if end == whole.len() { 2 } else { usize::from(end >= one.len()) };
            let found = read(&whole[..end], true).unwrap();
            assert_eq!(found.matches('\n').count(), expected, "torn at {end}: {found}");
            let at_boundary = [0, one.len(), whole.len()].contains(&end);
            assert_eq!(read(&whole[..end], false).is_ok(), at_boundary, "torn at {end}");
        }
    }
}
