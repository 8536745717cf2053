//! Resolves the images of sections to files.
//!
//! `markdown` finds the images; here an address becomes a file, and the file a reference with its media type,
//! size and hash. Only local files count: nothing is fetched. Runs on the source's thread, where blocking reads
//! are allowed. An image that cannot be used is logged once and left out; a document never fails because of it.
//! The maximum size of an image is enforced where it is sent, in `prompt`.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::image::{Image, SkippedImages};
use crate::markdown::ShownImage;
use crate::record::Record;

/// Resolves the images of documents.
pub(super) struct ImageResolver {
    /// The working directory, with symbolic links resolved.
    here: Option<PathBuf>,
    root: Option<PathBuf>,
    left_out: SkippedImages,
}

impl ImageResolver {
    /// Creates a resolver that resolves paths beginning with `/` relative to `root`.
    pub(super) fn new(root: Option<&str>) -> Self {
        let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
        Self { here, root: root.map(PathBuf::from), left_out: SkippedImages::default() }
    }

    /// A resolver for the document of `record`.
    pub(super) fn of_document(&self, record: &Record) -> DocumentImages<'_> {
        let document = record.text("source.path").unwrap_or_default().to_owned();
        let folder = Path::new(&document).parent().unwrap_or(Path::new("")).to_owned();
        DocumentImages { finder: self, document, folder, seen: HashMap::new() }
    }
}

/// Resolves the images of one document.
pub(super) struct DocumentImages<'a> {
    finder: &'a ImageResolver,
    document: String,
    folder: PathBuf,
    /// The addresses resolved so far: the same image may appear in every section.
    seen: HashMap<String, Option<Image>>,
}

impl DocumentImages<'_> {
    /// References to those of the shown images that can be sent, each once, in the order of the text.
    pub(super) fn of(&mut self, shown: &[ShownImage]) -> Value {
        let mut images: Vec<Value> = Vec::new();
        let mut hashes = HashSet::new();
        for ShownImage { address, alt, .. } in shown {
            let Some(image) = self.find(address) else { continue };
            if hashes.insert(image.hash.clone()) {
                images.push(json!({
                    "path": image.path,
                    "alt": alt,
                    "media_type": image.media_type,
                    "bytes": image.bytes,
                    "hash": image.hash,
                }));
            }
        }
        Value::Array(images)
    }

    fn find(&mut self, address: &str) -> Option<Image> {
        if is_elsewhere(address) {
            return None;
        }
        if let Some(known) = self.seen.get(address) {
            return known.clone();
        }
        let image =
            match self.file(address).map(|path| Image::inspect(&path).map_err(|error| error.to_string())) {
                Ok(Ok(image)) => Some(image),
                Ok(Err(why)) | Err(why) => {
                    let path = self.folder.join(address);
                    self.finder.left_out.warn_once(&path.to_string_lossy(), &self.document, &why);
                    None
                }
            };
        self.seen.insert(address.to_owned(), image.clone());
        image
    }

    /// The path of the file that an address names, relative to the working directory if it is inside it.
    fn file(&self, address: &str) -> Result<String, String> {
        let base = match (address.starts_with('/'), &self.finder.root) {
            (false, _) => &self.folder,
            (true, Some(root)) => root,
            (true, None) => {
                return Err(format!("`{address}` begins with `/`, and no `image_root` says where that is"));
            }
        };
        let path = candidate_names(address.trim_start_matches('/'))
            .map(|way| base.join(way))
            .find(|path| path.is_file())
            .ok_or_else(|| {
                format!("there is no file `{}`", base.join(address.trim_start_matches('/')).display())
            })?;
        let real =
            path.canonicalize().map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
        let here = self.finder.here.as_deref();
        if let Some(inside) = here.and_then(|here| real.strip_prefix(here).ok()) {
            return path_text(inside);
        }
        let document = self.folder.canonicalize().ok();
        let root = self.finder.root.as_ref().and_then(|root| root.canonicalize().ok());
        if [document, root].into_iter().flatten().any(|folder| real.starts_with(folder)) {
            return path_text(&path);
        }
        let path = path.display();
        Err(format!("`{path}` lies outside of the working directory, the document's folder and `image_root`"))
    }
}

fn path_text(path: &Path) -> Result<String, String> {
    path.to_str().map(str::to_owned).ok_or_else(|| format!("the name of `{}` is not UTF-8", path.display()))
}

/// Whether an address does not name a local file: a URL with a scheme, or with a host only; or nothing at all.
fn is_elsewhere(address: &str) -> bool {
    let scheme = address.split_once(':').map_or("", |(scheme, _)| scheme);
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
    let has_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(of_scheme);
    address.is_empty() || address.starts_with("//") || has_scheme
}

/// The file names that an address may mean: as it is, with percent-encoding decoded, and without what follows a
/// `?` or `#`.
fn candidate_names(address: &str) -> impl Iterator<Item = String> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).ok();
    let bare = address.split(['?', '#']).next().unwrap_or_default();
    [Some(address.to_owned()), decoded(address), decoded(bare)].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

    /// A folder with a document at `docs/a.md` and some images.
    fn folder() -> (tempfile::TempDir, Record) {
        let folder = tempfile::tempdir().unwrap();
        let files = ["docs/one.png", "docs/img/my two.gif", "docs/same.png", "static/logo.png", "other.png"];
        for (number, name) in files.into_iter().enumerate() {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let number = if name == "docs/same.png" { 0 } else { number };
            std::fs::write(path, [PNG, number.to_string().as_bytes()].concat()).unwrap();
        }
        std::fs::write(folder.path().join("docs/text.png"), "no image").unwrap();
        let mut record = Record::default();
        record.set("source", json!({"path": format!("{}/docs/a.md", folder.path().display())}));
        (folder, record)
    }

    #[test]
    fn addresses_name_files_beside_the_document() {
        let (folder, record) = folder();
        let root = folder.path().join("static");
        let with_root = ImageResolver::new(root.to_str());
        let without = ImageResolver::new(None);
        let check = |finder: &ImageResolver, address: &str, expected: Result<&str, &str>| {
            let found = finder.of_document(&record).file(address);
            match (found, expected) {
                (Ok(path), Ok(expected)) => {
                    assert_eq!(path, format!("{}/{expected}", folder.path().display()))
                }
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{why}"),
                (found, _) => panic!("{address}: {found:?}, expected {expected:?}"),
            }
        };
        check(&without, "one.png", Ok("docs/one.png"));
        check(&without, "./one.png", Ok("docs/./one.png"));
        check(&without, "img/my two.gif", Ok("docs/img/my two.gif"));
        check(&without, "img/my%20two.gif?raw=1#x", Ok("docs/img/my two.gif"));
        check(&without, "none.png", Err("there is no file `"));
        check(&without, "img", Err("there is no file `"));
        check(&without, "../other.png", Err("lies outside of the working directory"));
        check(&without, "/logo.png", Err("no `image_root` says where that is"));
        check(&with_root, "/logo.png", Ok("static/logo.png"));
        check(&with_root, "../static/logo.png", Ok("docs/../static/logo.png"));
        check(&with_root, "/../other.png", Err("lies outside of the working directory"));
    }

    #[test]
    fn addresses_elsewhere_are_skipped() {
        let check = |address: &str, expected: bool| assert_eq!(is_elsewhere(address), expected, "{address}");
        check("https://x.org/a.png", true);
        check("data:image/png;base64,AAAA", true);
        check("//x.org/a.png", true);
        check("", true);
        check("a.png", false);
        check("img/a:b.png", false);
        check("/a.png", false);
    }

    #[test]
    fn each_image_is_there_once_and_what_is_none_is_left_out() {
        let (folder, record) = folder();
        let finder = ImageResolver::new(None);
        let mut images = finder.of_document(&record);
        let shown =
            |address: &str| ShownImage { start: 0, address: address.into(), alt: format!("the {address}") };
        let addresses =
            ["text.png", "one.png", "none.png", "same.png", "https://x.org/a.png", "img/my%20two.gif"];
        let found = images.of(&addresses.map(shown));
        assert_eq!(found.as_array().unwrap().len(), 2, "{found}");
        assert_eq!(found[0]["path"], format!("{}/docs/one.png", folder.path().display()));
        assert_eq!((&found[0]["alt"], &found[0]["bytes"]), (&json!("the one.png"), &json!(9)));
        // By its bytes, whatever its name is.
        assert_eq!(
            (&found[1]["alt"], &found[1]["media_type"]),
            (&json!("the img/my%20two.gif"), &json!("image/png"))
        );
    }
}
