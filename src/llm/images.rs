//! The images of a request, read and encoded when its body is created.
//!
//! Records and requests hold references; the bytes are in memory only from here until the request is sent, so at most
//! as often as the model's concurrency. Creating a body takes two steps: `load`, which reads the files on a blocking
//! thread, and `RequestEncoder::body`. A file that has changed since the request was made fails the request: a wrong
//! image is never sent.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::ModelRequest;
use super::classify::{Failure, Verdict};
use crate::image::{Image, ImageError, MediaType};

/// The images of one request as data URLs, in the order of its messages.
#[derive(Debug, Default, Clone)]
pub(super) struct Images(std::vec::IntoIter<String>);

impl Images {
    /// Returns the number of remaining images.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns their size in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.as_slice().iter().map(String::len).sum()
    }
}

impl Iterator for Images {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.0.next()
    }
}

/// Reads the images of a request.
pub(super) async fn load(request: &ModelRequest) -> Result<Images, Failure> {
    if request.images() == 0 {
        return Ok(Images::default());
    }
    let images: Vec<Image> = request.messages.iter().flat_map(|message| message.images.clone()).collect();
    let encoded =
        tokio::task::spawn_blocking(move || images.iter().map(encoded).collect::<Result<Vec<_>, _>>());
    let failed = |message: String| Failure::new(Verdict::RejectRecord, "images", message);
    match encoded.await {
        Ok(Ok(encoded)) => Ok(Images(encoded.into_iter())),
        Ok(Err(error)) => Err(failed(error.to_string())),
        Err(error) => Err(failed(format!("the images were not read: {error}"))),
    }
}

fn encoded(image: &Image) -> Result<String, ImageError> {
    let bytes = image.read()?;
    let start = start_of_url(image.media_type);
    // Allocated at full length, since it may have megabytes.
    let mut url = String::with_capacity(start.len() + bytes.len().div_ceil(3) * 4);
    url.push_str(&start);
    STANDARD.encode_string(bytes, &mut url);
    Ok(url)
}

/// Returns the start of a data URL, before the base64.
fn start_of_url(media_type: MediaType) -> String {
    format!("data:{};base64,", media_type.as_str())
}

/// Returns only the base64 of an image's data URL.
pub(super) fn without_start(mut url: String, image: &Image) -> String {
    let end = start_of_url(image.media_type).len().min(url.len());
    url.drain(..end);
    url
}

#[cfg(test)]
pub(super) mod testing {
    //! A request with images, for the tests of the dialects.

    use super::*;
    use crate::llm::Message;

    /// A system message, a user message with a PNG and a WebP, one with a PNG alone; and their images, in base64
    /// `AAAA`, `BBBB` and `CCCC`.
    pub(in crate::llm) fn request() -> (ModelRequest, Images) {
        let image = |media_type| Image { path: "x".into(), media_type, bytes: 3, hash: "0f".into() };
        let mut both = Message::new("user", "What is it?");
        both.images = vec![image(MediaType::Png), image(MediaType::Webp)];
        let mut alone = Message::new("user", "");
        alone.images = vec![image(MediaType::Png)];
        let messages = vec![Message::new("system", "Be brief."), both, alone];
        let encoded = ["png;base64,AAAA", "webp;base64,BBBB", "png;base64,CCCC"]
            .map(|url| format!("data:image/{url}"))
            .to_vec();
        (ModelRequest { messages, ..ModelRequest::default() }, Images(encoded.into_iter()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Message;
    use crate::llm::dialect::RequestEncoder;
    use crate::pipeline::{ModelConfig, StructuredOutput};

    #[tokio::test]
    async fn files_are_encoded_in_message_order() {
        let folder = tempfile::tempdir().unwrap();
        let mut request = ModelRequest::default();
        for (name, bytes) in [("a", &b"GIF89a"[..]), ("b", b"\xff\xd8\xff\xfb\xff")] {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let image = Image::inspect(path.to_str().unwrap()).unwrap();
            request.messages.push(Message { images: vec![image], ..Message::new("user", "x") });
        }
        assert_eq!(
            load(&request).await.unwrap().collect::<Vec<_>>(),
            ["data:image/gif;base64,R0lGODlh", "data:image/jpeg;base64,/9j/+/8="]
        );
        std::fs::write(folder.path().join("b"), "another").unwrap();
        let failure = load(&request).await.unwrap_err();
        assert_eq!((failure.verdict, &*failure.class), (Verdict::RejectRecord, "images"));
        assert!(failure.message.contains("/b` has changed"), "{}", failure.message);
        let none = ModelRequest { messages: vec![Message::new("user", "x")], ..ModelRequest::default() };
        assert_eq!(load(&none).await.unwrap().len(), 0);
    }

    #[test]
    fn images_that_the_api_does_not_support_are_refused() {
        let (request, images) = testing::request();
        let check =
            |config: serde_json::Value, request: &ModelRequest, images: Images, expected: Option<&str>| {
                let config: ModelConfig = serde_json::from_value(config).unwrap();
                let body = RequestEncoder::new(&config).body(request, StructuredOutput::Off, images);
                let failure = body.err();
                assert_eq!(
                    failure.as_ref().map(|failure| failure.verdict),
                    expected.map(|_| Verdict::RejectRecord)
                );
                let message = failure.map(|failure| failure.message).unwrap_or_default();
                assert!(message.contains(expected.unwrap_or_default()), "{message}");
            };
        let chat = serde_json::json!({});
        check(chat.clone(), &request, images.clone(), None);
        check(chat.clone(), &request, Images::default(), Some("not those of the request"));
        let raw = serde_json::json!({"api": "completions"});
        check(raw, &request, images.clone(), Some("raw completions have no place for images"));
        let mut wrong = request.clone();
        wrong.messages[1].role = "assistant".into();
        check(chat, &wrong, images, Some("of the role `assistant` cannot show images"));
    }
}
