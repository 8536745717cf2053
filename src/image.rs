//! An image file that a question shows: its kind, its size and the hash of its bytes.
//!
//! `section` and `prompt` look at files and keep references in records, never the bytes; `llm::images` reads a
//! file again when its question is sent, and takes it only if it is still the same. All of it blocks.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// Digits of a hash: 128 bits.
const DIGITS: usize = 32;
/// Files that are told of one by one when they are left out.
const MOST_TOLD: usize = 200;

/// A reference to an image file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Where it is, relative to the working directory. Read but not written by serde: a message is known by
    /// what it shows, and a file that was moved shows the same.
    #[serde(skip_serializing)]
    pub path: String,
    /// What it is.
    pub media_type: MediaType,
    /// Its size.
    pub bytes: u64,
    /// BLAKE3 of its bytes, 32 hex digits.
    pub hash: String,
}

/// A kind of image that vision models take.
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

/// An image that cannot be shown.
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

    /// The kind of a file that begins with these bytes; its name is not asked.
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
    /// Reads the file at `path` through, in little memory, and says what it is.
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
                let hash = digits(&hasher.finalize());
                return Ok(Self { path: path.to_owned(), media_type, bytes, hash });
            }
            hasher.update(&chunk);
            bytes += chunk.len() as u64;
        }
    }

    /// The file's bytes, if they are still those that were looked at.
    pub fn read(&self) -> Result<Vec<u8>, ImageError> {
        let file = open(&self.path)?;
        let unread = |source| ImageError::Read { path: self.path.clone(), source };
        let length = file.metadata().map_err(unread)?.len();
        let mut bytes = Vec::new();
        if length == self.bytes {
            // Of the file's own length: what a record says of it may be anything.
            bytes.reserve_exact(usize::try_from(length).unwrap_or(0).saturating_add(1));
            file.take(length.saturating_add(1)).read_to_end(&mut bytes).map_err(unread)?;
        }
        if bytes.len() as u64 != self.bytes || digits(&blake3::hash(&bytes)) != self.hash {
            return Err(ImageError::Changed { path: self.path.clone() });
        }
        Ok(bytes)
    }
}

fn open(path: &str) -> Result<File, ImageError> {
    let unread = |source| ImageError::Read { path: path.to_owned(), source };
    // Asked before it is opened: to open a pipe would wait for its other end.
    if !std::fs::metadata(path).map_err(unread)?.is_file() {
        return Err(ImageError::NotAFile { path: path.to_owned() });
    }
    File::open(path).map_err(unread)
}

fn digits(hash: &blake3::Hash) -> String {
    hash.to_hex()[..DIGITS].to_owned()
}

/// Tells of images that are left out, of each file once. Bounded, as a source may name any number of them.
#[derive(Debug, Default)]
pub struct SkippedImages {
    told: Mutex<HashSet<String>>,
}

impl SkippedImages {
    /// Warns that the image which `by` shows is left out, unless `path` was told of before.
    pub fn warn_once(&self, path: &str, by: &str, why: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() > MOST_TOLD || !told.insert(path.to_owned()) {
            return;
        }
        match told.len() {
            more if more > MOST_TOLD => tracing::warn!("further images are left out without being told of"),
            _ => tracing::warn!("an image of `{by}` is left out: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n and so on";

    #[test]
    fn the_kind_is_told_by_the_first_bytes() {
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
    fn a_file_is_read_only_while_it_is_the_same() {
        let folder = tempfile::tempdir().unwrap();
        // Longer than a chunk, and named as what it is not.
        let bytes = [PNG, &[7; 3 * CHUNK]].concat();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, &bytes).unwrap();
        let image = Image::inspect(path.to_str().unwrap()).unwrap();
        assert_eq!((image.media_type, image.bytes), (MediaType::Png, bytes.len() as u64));
        assert_eq!(image.hash, &blake3::hash(&bytes).to_hex()[..DIGITS]);
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
    fn a_message_knows_an_image_by_what_it_shows() {
        let image = Image { path: "a.png".into(), media_type: MediaType::Png, bytes: 3, hash: "0f".into() };
        let written = serde_json::json!(image);
        assert_eq!(written, serde_json::json!({"media_type": "image/png", "bytes": 3, "hash": "0f"}));
    }
}
