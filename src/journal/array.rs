//! Collects a sink's lines into one JSON array at the end of a run, for tools that read whole files.
//!
//! Streams, so that memory does not grow with the file. Written to a temporary file and renamed, so that an
//! incomplete array is never visible under its name.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::Path;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use super::disk::{Disk, DiskFile};
use super::manifest::FileChecksum;
use super::writer::StorageError;

/// A JSON array that a sink's lines are collected into at the end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrayFile {
    /// Its path, relative to the run directory.
    pub path: String,
    /// The key of each line whose value becomes the element; `None` takes the whole line.
    pub element: Option<String>,
}

/// Bytes buffered before each write.
const CHUNK: usize = 1 << 20;

/// Writes the lines of `lines` (a path relative to `root`) as a JSON array with an indent of 2. Returns the number
/// of elements and the checksum of the file.
pub fn write_array(
    disk: &dyn Disk,
    root: &Path,
    lines: &str,
    array: &ArrayFile,
) -> Result<(u64, FileChecksum), StorageError> {
    let from = root.join(lines);
    let to = root.join(&array.path);
    let temporary = root.join(format!("{}.new", array.path));
    if let Some(parent) = to.parent() {
        disk.create_dir_all(parent).map_err(|source| StorageError::new("make", parent, source))?;
    }
    if disk.length(&temporary).map_err(|source| StorageError::new("look at", &temporary, source))?.is_some() {
        disk.remove(&temporary).map_err(|source| StorageError::new("remove", &temporary, source))?;
    }
    let reader = disk.read(&from).map_err(|source| StorageError::new("open", &from, source))?;
    let mut file = disk.append(&temporary).map_err(|source| StorageError::new("open", &temporary, source))?;
    let mut count = 0;
    let mut sum = FileChecksum::default();
    let mut chunk = b"[".to_vec();
    for line in BufReader::new(reader).lines() {
        let line = line.map_err(|source| StorageError::new("read", &from, source))?;
        let element = match &array.element {
            Some(key) => value_of(&line, key),
            None => serde_json::from_str(&line),
        };
        let element =
            element.map_err(|error| StorageError::new("read", &from, std::io::Error::other(error)))?;
        chunk.extend_from_slice(if count == 0 { b"\n" } else { b",\n" });
        push_indented(&mut chunk, &element);
        count += 1;
        if chunk.len() >= CHUNK {
            file.write(&chunk).map_err(|source| StorageError::new("write", &temporary, source))?;
            sum.add(&chunk);
            chunk.clear();
        }
    }
    chunk.extend_from_slice(if count == 0 { b"]\n" } else { b"\n]\n" });
    sum.add(&chunk);
    finish(disk, file, &chunk, &temporary, &to)?;
    Ok((count, sum))
}

fn finish(
    disk: &dyn Disk,
    mut file: Box<dyn DiskFile>,
    chunk: &[u8],
    temporary: &Path,
    to: &Path,
) -> Result<(), StorageError> {
    file.write(chunk).map_err(|source| StorageError::new("write", temporary, source))?;
    file.sync().map_err(|source| StorageError::new("sync", temporary, source))?;
    disk.rename(temporary, to).map_err(|source| StorageError::new("rename", temporary, source))?;
    match to.parent() {
        Some(parent) => disk.sync_dir(parent).map_err(|source| StorageError::new("sync", parent, source)),
        None => Ok(()),
    }
}

/// The value of one key of a line, null where the line has none; the others are read over.
fn value_of(line: &str, key: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let value = deserializer.deserialize_map(OneKey(key))?;
    deserializer.end()?;
    Ok(value)
}

/// Deserializes the value of this key of an object.
struct OneKey<'k>(&'k str);

impl<'de> Visitor<'de> for OneKey<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut found = Value::Null;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            match key == self.0 {
                true => found = map.next_value()?,
                false => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(found)
    }
}

fn push_indented(chunk: &mut Vec<u8>, element: &Value) {
    let pretty = serde_json::to_string_pretty(element).unwrap_or_default();
    for (index, line) in pretty.lines().enumerate() {
        if index > 0 {
            chunk.push(b'\n');
        }
        chunk.extend_from_slice(b"  ");
        chunk.extend_from_slice(line.as_bytes());
    }
}
