//! Opens a file of rows as text: decompressed by its name, and decoded if it is not UTF-8.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use encoding_rs::Encoding;
use encoding_rs_io::DecodeReaderBytesBuilder;
use flate2::bufread::MultiGzDecoder;

const BUFFER: usize = 64 * 1024;

/// The name of a file without the ending that says how it is compressed.
pub(in crate::stages) fn without_compression(path: &str) -> &str {
    let compressed = ["gz", "zst"];
    let ending = Path::new(path).extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    match compressed.contains(&ending.to_ascii_lowercase().as_str()) {
        true => &path[..path.len() - ending.len() - 1],
        false => path,
    }
}

/// Opens a file, and decompresses it if its name ends in `.gz` or `.zst`.
pub(super) fn open(path: &str) -> Result<Box<dyn Read + Send>, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let ending = path[without_compression(path).len()..].to_ascii_lowercase();
    let file = BufReader::with_capacity(BUFFER, file);
    Ok(match ending.as_str() {
        ".gz" => Box::new(MultiGzDecoder::new(file)),
        ".zst" => {
            let decoder = zstd::stream::read::Decoder::with_buffer(file);
            Box::new(decoder.map_err(|error| error.to_string())?)
        }
        _ => Box::new(file),
    })
}

/// Opens a file in this encoding. Bytes that are no text in it become U+FFFD.
pub(super) fn open_in(path: &str, encoding: &'static Encoding) -> Result<Box<dyn Read + Send>, String> {
    let file = open(path)?;
    let decoder = DecodeReaderBytesBuilder::new().encoding(Some(encoding)).bom_override(false).build(file);
    Ok(Box::new(decoder))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::{Rows, csv, json_array, jsonl};
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    }

    /// What is read of a file: each row as text, or its error.
    fn read(open: fn(&str) -> Result<Rows, String>, name: &str, bytes: &[u8]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        match open(path.to_str().unwrap()) {
            Ok(rows) => rows
                .map(|(_, row)| {
                    row.map_or_else(|error| error, |row| serde_json::Value::Object(row).to_string())
                })
                .collect(),
            Err(error) => vec![error],
        }
    }

    #[test]
    fn compressed_rows_are_those_of_the_plain_file() {
        // Two members and frames, as files have that were joined.
        let parts = ["{\"a\":1}\n", "{\"a\":2}\n"];
        let joined: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
        assert_eq!(read(jsonl, "a.jsonl.gz", &joined), ["{\"a\":1}", "{\"a\":2}"]);
        let joined: Vec<u8> =
            parts.iter().flat_map(|part| zstd::encode_all(part.as_bytes(), 1).unwrap()).collect();
        assert_eq!(read(jsonl, "a.jsonl.zst", &joined), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(read(json_array, "a.json.GZ", &gzip("[{\"a\":1}]")), ["{\"a\":1}"]);
        assert_eq!(read(csv, "a.csv.gz", &gzip("a,b\n1,\"x\ny\"\n")), ["{\"a\":\"1\",\"b\":\"x\\ny\"}"]);
    }

    #[test]
    fn a_file_that_is_cut_off_ends_with_an_error() {
        let lines: String = (0..20_000).map(|row| format!("{{\"a\":{row}}}\n")).collect();
        let gz = gzip(&lines);
        let zst = zstd::encode_all(lines.as_bytes(), 1).unwrap();
        for (name, bytes) in [("a.jsonl.gz", gz), ("a.jsonl.zst", zst)] {
            let whole = read(jsonl, name, &bytes);
            assert_eq!((whole.len(), whole[19_999].as_str()), (20_000, "{\"a\":19999}"), "{name}");
            let cut = read(jsonl, name, &bytes[..bytes.len() - 9]);
            let last = cut.last().unwrap();
            assert!(!last.starts_with('{'), "{name}: {last}");
            assert!(cut[..cut.len() - 1].iter().zip(&whole).all(|(row, expected)| row == expected), "{name}");
        }
        let no_gzip = read(jsonl, "a.jsonl.gz", b"{\"a\":1}\n");
        assert_eq!(no_gzip.len(), 1, "{no_gzip:?}");
        assert!(!no_gzip[0].starts_with('{'), "{no_gzip:?}");
    }
}
