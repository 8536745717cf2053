//! The images attached to a prompt.
//!
//! An expression evaluates to a record's images: references as `section` makes them, or plain paths, whose files
//! are inspected here. The user message contains references only; `llm` reads the files when the question is
//! sent. The limits of what is sent, number and size, are enforced here.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::runtime::{Handle, RuntimeFlavor};

use super::Prompt;
use crate::image::{Image, SkippedImages};
use crate::pipeline::{CheckContext, FieldType};
use crate::record::Record;
use crate::stage::{BuildContext, BuildError, StageError};
use crate::template::Expression;

impl Prompt {
    pub(super) fn check_images(&self, context: &mut CheckContext<'_>) {
        if self.max_images == 0 {
            context.problem("/max_images", "`max_images` is 0").expected("at least 1; or no `images`");
        } else if self.min_images > self.max_images {
            let (least, most) = (self.min_images, self.max_images);
            let message = format!("`min_images` ({least}) is above `max_images` ({most})");
            context.problem("/min_images", message);
        }
        if self.max_image_bytes == 0 {
            context.problem("/max_image_bytes", "`max_image_bytes` is 0").expected("at least 1");
        }
        if let Some(root) = &self.image_root
            && let Some(root) = context.render("/image_root", root)
            && !Path::new(&root).is_dir()
        {
            context.problem("/image_root", format!("`{root}` is not a folder"));
        }
        if let Some(images) = &self.images {
            if context.expression("/images", images).is_some() {
                let kind = context.type_of_expression(images);
                let one = FieldType::text()
                    .or(FieldType::object_of(vec![("path".into(), FieldType::text())], true));
                let wanted = one.clone().or(FieldType::list(one)).or_null();
                if !kind.could_be(&wanted) {
                    let message = format!("`images` is {kind}");
                    context
                        .problem("/images", message)
                        .expected("a path, an object with a `path`, or a list of them");
                }
            }
            context.shows_images(&self.output);
        } else if self.min_images > 0 {
            context.problem("/min_images", "`min_images` is set, but no `images` are").on_key();
        }
    }

    pub(super) fn attached(&self, context: &BuildContext) -> Result<Option<ImageSelector>, BuildError> {
        let Some(list) = &self.images else { return Ok(None) };
        let root = self.image_root.as_ref().map(|root| context.render(root)).transpose()?;
        Ok(Some(ImageSelector {
            list: context.expression(list)?,
            least: self.min_images,
            most: self.max_images,
            most_bytes: self.max_image_bytes,
            root: root.map(PathBuf::from).unwrap_or_default(),
            left_out: SkippedImages::default(),
        }))
    }
}

/// Selects the images of each record.
pub(super) struct ImageSelector {
    list: Expression,
    least: usize,
    most: usize,
    most_bytes: u64,
    root: PathBuf,
    left_out: SkippedImages,
}

/// An image as a record refers to it.
enum ImageReference {
    /// Inspected by an earlier stage.
    Known(Image),
    Path(String),
}

impl ImageSelector {
    /// Returns references to the images that are attached to the record's prompt.
    pub(super) fn of(&self, record: &Record) -> Result<Vec<Value>, StageError> {
        let list = match self.list.value(record)? {
            Value::Null => Vec::new(),
            Value::Array(list) => list,
            one => vec![one],
        };
        let mut images = Vec::new();
        for named in list.iter().map(named) {
            let Some(image) = self.find(named?, record) else { continue };
            images.push(json!({
                "path": image.path,
                "media_type": image.media_type,
                "bytes": image.bytes,
                "hash": image.hash,
            }));
            if images.len() == self.most {
                break;
            }
        }
        if images.len() < self.least {
            let message = format!("{} images can be sent, `min_images` wants {}", images.len(), self.least);
            return Err(StageError::new("images", message));
        }
        Ok(images)
    }

    /// Returns the image if it can be sent; otherwise logs why not.
    fn find(&self, named: ImageReference, record: &Record) -> Option<Image> {
        let by = || record.text("source.path").unwrap_or("a record").to_owned();
        let image = match named {
            ImageReference::Known(image) => image,
            // An empty cell of a table.
            ImageReference::Path(path) if path.is_empty() => return None,
            ImageReference::Path(path) => {
                let path = self.root.join(path).to_string_lossy().into_owned();
                match run_blocking(|| Image::inspect(&path)) {
                    Ok(image) => image,
                    Err(error) => {
                        self.left_out.warn_once(&path, &by(), &error.to_string());
                        return None;
                    }
                }
            }
        };
        if image.bytes > self.most_bytes {
            let (bytes, most) = (image.bytes, self.most_bytes);
            let why = format!("`{}` has {bytes} bytes, `max_image_bytes` is {most}", image.path);
            self.left_out.warn_once(&image.path, &by(), &why);
            return None;
        }
        Some(image)
    }
}

/// Parses an element of the list: a path, an object with a `path`, or a complete reference.
fn named(value: &Value) -> Result<ImageReference, StageError> {
    if let Value::String(path) = value {
        return Ok(ImageReference::Path(path.clone()));
    }
    if let Ok(image) = Image::deserialize(value) {
        return Ok(ImageReference::Known(image));
    }
    match value.get("path").and_then(Value::as_str) {
        Some(path) => Ok(ImageReference::Path(path.to_owned())),
        None => {
            let message = format!("`images` holds `{value}`, which is neither a path nor an object with one");
            Err(StageError::new("images", message))
        }
    }
}

/// Reads on this thread, while the runtime moves its other work to another one.
fn run_blocking<T>(read: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(read),
        // There is no other thread, or nothing to block.
        _ => read(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::image::MediaType;
    use crate::stages::testing::record;

    fn attached(list: &str, root: &Path) -> ImageSelector {
        ImageSelector {
            list: Expression::new(list, &Map::new()).unwrap(),
            least: 0,
            most: 2,
            most_bytes: 10,
            root: root.to_owned(),
            left_out: SkippedImages::default(),
        }
    }

    #[test]
    fn images_are_chosen_from_paths_and_references() {
        let folder = tempfile::tempdir().unwrap();
        for (name, bytes) in [
            ("a.jpg", &b"\xff\xd8\xff1"[..]),
            ("b.jpg", b"\xff\xd8\xff2"),
            ("long.jpg", b"\xff\xd8\xff45678901"),
        ] {
            std::fs::write(folder.path().join(name), bytes).unwrap();
        }
        let check = |list: &str, fields: Value, expected: &[&str]| {
            let images = attached(list, folder.path()).of(&record(fields)).unwrap();
            let paths: Vec<&str> = images.iter().map(|image| image["path"].as_str().unwrap()).collect();
            let expected: Vec<String> =
                expected.iter().map(|name| folder.path().join(name).display().to_string()).collect();
            assert_eq!(paths, expected, "{list}");
        };
        check("photos", json!({"photos": ["a.jpg", "b.jpg"]}), &["a.jpg", "b.jpg"]);
        check("photos", json!({"photos": "a.jpg"}), &["a.jpg"]);
        check("photos", json!({"photos": null}), &[]);
        check("photos", json!({"photos": ""}), &[]);
        check("[front, back]", json!({"front": "b.jpg", "back": ""}), &["b.jpg"]);
        check("photos", json!({"photos": [{"path": "a.jpg", "bytes": null}]}), &["a.jpg"]);
        check("photos", json!({}), &[]);
        // An image that cannot be sent does not count; those beyond the maximum are not inspected.
        check(
            "p",
            json!({"p": ["none.jpg", "long.jpg", "a.jpg", "https://x.org/c.jpg", "b.jpg", "a.jpg"]}),
            &["a.jpg", "b.jpg"],
        );
    }

    #[test]
    fn references_are_taken_as_they_are_and_held_to_the_limit() {
        let image = |bytes: u64| json!({"path": "x.png", "alt": "X", "media_type": "image/png", "bytes": bytes, "hash": "0f"});
        let row = record(json!({"section": {"images": [image(10), image(11)]}}));
        let images = attached("section.images", Path::new("nowhere")).of(&row).unwrap();
        let kept = json!([{"path": "x.png", "media_type": MediaType::Png, "bytes": 10, "hash": "0f"}]);
        assert_eq!(Value::from(images), kept);
    }

    #[test]
    fn too_few_or_no_images_reject_the_record() {
        let check = |list: &str, fields: Value, expected: &str| {
            let attached = ImageSelector { least: 1, ..attached(list, Path::new("")) };
            let error = attached.of(&record(fields)).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        };
        check("photos", json!({"photos": ["none.jpg"]}), "0 images can be sent, `min_images` wants 1");
        check("photos", json!({"photos": [7]}), "`images` holds `7`, which is neither a path");
    }
}
