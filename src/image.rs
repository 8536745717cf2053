//! References to image files that a question shows: media type, size and a hash of the bytes.
//!
//! `section` and `prompt` inspect files and store references in records, never the bytes. `llm::images` reads a file
//! again when its question is sent, and refuses it if it has changed. All functions here block.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Hex digits of a hash: 128 bits.
const HASH_DIGITS: usize = 32;
/// The most files that are reported one by one when they are left out.
const MAX_REPORTED: usize = 200;

/// A reference to an image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its path, relative to the working directory. Deserialized but not serialized: a message is identified by what it
    /// shows, and a file that was moved shows the same.
    #[serde(skip_serializing)]
    pub path: String,
    /// Its media type.
    pub media_type: MediaType,
    /// Its size in bytes.
    pub bytes: u64,
    /// BLAKE3 of its bytes, 32 hex digits.
    pub hash: String,
}

/// A media type that vision models accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MediaType {
    /// PNG.
    #[serde(rename = "image/png")]
    Png,
    /// JPEG.
    #[serde(rename = "image/jpeg")]
    Jpeg,
    /// GIF.
    #[serde(rename = "image/gif")]
    Gif,
    /// WebP.
    #[serde(rename = "image/webp")]
    Webp,
}

/// Why an image cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("`{path}` is not a regular file")]
    NotAFile {
        /// The file.
        path: String,
    },
    /// It does not begin as an image of a known kind does.
    #[error("`{path}` is no PNG, JPEG, GIF or WebP image")]
    NotAnImage {
        /// The file.
        path: String,
    },
    /// Its bytes are others than those that the question was made for.
    #[error("`{path}` has changed since its question was made")]
    Changed {
        /// The file.
        path: String,
    },
}

impl MediaType {
    /// Its name in HTTP and data URLs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::Webp => "image/webp",
        }
    }

    /// The media type of a file that begins with these bytes, whatever its name.
    fn of(start: &[u8]) -> Option<Self> {
        match start {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::Webp),
            _ => None,
        }
    }
}

impl Image {
    /// Reads the file at `path` once, in little memory, and returns a reference to it.
    pub fn inspect(path: &str) -> Result<Self, ImageError> {
        let mut file = open(path)?;
        let unread = |source| ImageError::Read { path: path.to_owned(), source };
        let mut chunk = Vec::with_capacity(CHUNK);
        let (mut hasher, mut bytes, mut media_type) = (blake3::Hasher::new(), 0, None);
        loop {
            chunk.clear();
            file.by_ref().take(CHUNK as u64).read_to_end(&mut chunk).map_err(unread)?;
            if media_type.is_none() {
                media_type = MediaType::of(&chunk);
            }
            let Some(media_type) = media_type else {
                return Err(ImageError::NotAnImage { path: path.to_owned() });
            };
            if chunk.is_empty() {
                let hash = hex_digits(&hasher.finalize());
                return Ok(Self { path: path.to_owned(), media_type, bytes, hash });
            }
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
        }
    }

    /// Returns the file's bytes if they have not changed since it was inspected.
    pub fn read(&self) -> Result<Vec<u8>, ImageError> {
        let file = open(&self.path)?;
        let unread = |source| ImageError::Read { path: self.path.clone(), source };
        let length = file.metadata().map_err(unread)?.len();
        let mut bytes = Vec::new();
        if length == self.bytes {
            // By the file's own length: the one in a record may be anything.
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0).saturating_add(1));
            file.take(length.saturating_add(1)).read_to_end(&mut bytes).map_err(unread)?;
        }
        if bytes.len() as u64 != self.bytes || hex_digits(&blake3::hash(&bytes)) != self.hash {
            return Err(ImageError::Changed { path: self.path.clone() });
        }
        Ok(bytes)
    }
}

fn open(path: &str) -> Result<File, ImageError> {
    let unread = |source| ImageError::Read { path: path.to_owned(), source };
    // Checked before opening: opening a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(unread)?.is_file() {
        return Err(ImageError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(unread)
}

fn hex_digits(hash: &blake3::Hash) -> String {
    hash.to_hex()[..HASH_DIGITS].to_owned()
}

/// Logs images that are left out, once per file and up to a limit, as a source may name any number of them.
#[derive(Debug, Default)]
pub struct SkippedImages {
    reported: Mutex<HashSet<String>>,
}

impl SkippedImages {
    /// Logs that the image shown by `by` is left out, unless `path` was reported before.
    pub fn warn_once(&self, path: &str, by: &str, why: &str) {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() > MAX_REPORTED || !reported.insert(path.to_owned()) {
            return;
        }
        match reported.len() {
            more if more > MAX_REPORTED => {
                tracing::warn!("further images are left out without being told of")
            }
            _ => tracing::warn!("an image of `{by}` is left out: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    #[test]
    fn the_media_type_depends_on_the_first_bytes() {
        let check = |bytes: &[u8], expected: Option<&str>| {
            assert_eq!(MediaType::of(bytes).map(MediaType::as_str), expected, "{bytes:?}");
        };
        check(PNG, Some("image/png"));
        check(b"\xff\xd8\xff\xe0\0\x10JFIF", Some("image/jpeg"));
        check(b"GIF89a\x01\0", Some("image/gif"));
        check(b"GIF87a\x01\0", Some("image/gif"));
        check(b"RIFF\x24\0\0\0WEBPVP8 ", Some("image/webp"));
        check(b"RIFF\x24\0\0\0WAVEfmt ", None);
        check(b"<svg xmlns='http://www.w3.org/2000/svg'/>", None);
        check(b"\x89PN", None);
        check(b"", None);
    }

    #[test]
    fn a_file_is_read_only_if_it_has_not_changed() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than a chunk, and named as what it is not.
        let bytes = [PNG, &[7; 3 * CHUNK]].concat();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, &bytes).unwrap();
        let image = Image::inspect(path.to_str().unwrap()).unwrap();
        assert_eq!((image.media_type, image.bytes), (MediaType::Png, bytes.len() as u64));
        assert_eq!(image.hash, &blake3::hash(&bytes).to_hex()[..HASH_DIGITS]);
        assert_eq!(image.read().unwrap(), bytes);
        let check = |changed: &[u8]| {
            std::fs::write(&path, changed).unwrap();
            assert!(matches!(image.read(), Err(ImageError::Changed { .. })));
        };
        check(&[&bytes[..], b"x"].concat());
        check(&bytes[..bytes.len() - 1]);
        check(&[&bytes[..bytes.len() - 1], b"x"].concat());
        std::fs::remove_file(&path).unwrap();
        assert!(image.read().unwrap_err().to_string().starts_with("cannot read `"));
        assert!(matches!(Image::inspect(folder.path().to_str().unwrap()), Err(ImageError::NotAFile { .. })));
    }

    #[test]
    fn a_message_identifies_an_image_by_its_content() {
        let image = Image { path: "a.png".into(), media_type: MediaType::Png, bytes: 3, hash: "0f".into() };
        let written = serde_json::json!(image);
        assert_eq!(written, serde_json::json!({"media_type": "image/png", "bytes": 3, "hash": "0f"}));
    }
}
