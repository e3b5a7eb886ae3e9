//! Parses pictures in binary frames of the WebSocket (protocol §5): previews of running prompts, and results that a node
//! sends instead of saving them (`SaveImageWebsocket`).

use super::picture::Picture;
use crate::comfy::{Preview, PromptEvent, limits, python_json};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// Event number of a picture with metadata. A picture without it cannot be attributed to a prompt.
const WITH_METADATA: u32 = 4;
/// Event number of a picture without metadata. Since we ask for metadata, only nodes that send by themselves use it, and
/// versions that know no metadata.
const PLAIN: u32 = 1;
/// Content types that are accepted.
const TYPES: [&str; 3] = ["image/jpeg", "image/png", "image/webp"];

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow)]
    prompt_id: &'a RawValue,
    #[serde(borrow)]
    image_type: &'a RawValue,
    #[serde(borrow, default)]
    node_id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    display_node_id: Option<&'a RawValue>,
}

/// Parses a frame: event (4 bytes), length of the JSON (4 bytes), the JSON, the picture. `None` for any other frame,
/// and for metadata or a picture that is too large.
pub(crate) fn read(frame: &Bytes) -> Option<Preview> {
    if number(frame, 0)? != WITH_METADATA {
        return None;
    }
    let length = usize::try_from(number(frame, 4)?).ok()?;
    if length > limits::PREVIEW_METADATA_BYTES_MAX || frame.len() > 8 + length + limits::PREVIEW_BYTES_MAX {
        return None;
    }
    let end = 8 + length;
    let metadata: Metadata<'_> = python_json::object(std::str::from_utf8(frame.get(8..end)?).ok()?)?;
    let prompt = Uuid::try_parse(&python_json::text(metadata.prompt_id, limits::PROMPT_ID_BYTES_MAX)?).ok()?;
    let image_type = python_json::text(metadata.image_type, limits::WORD_BYTES_MAX)?;
    let content_type = TYPES.into_iter().find(|known| *known == image_type)?;
    let bytes = frame.slice(end..);
    (!bytes.is_empty()).then_some(Preview { prompt, content_type, bytes })
}

/// Parses a picture that may be a result: a PNG with metadata (previews of samplers are JPEGs), or a picture without it, which
/// is of the executing node. `executing` is that node, with its prompt. Whether the node sends results is for the caller to
/// decide.
pub(crate) fn result(frame: &Bytes, executing: Option<(Uuid, &str)>) -> Option<PromptEvent> {
    let kind = number(frame, 0)?;
    let (prompt, node, content_type, bytes) = if kind == WITH_METADATA {
        let length =
            usize::try_from(number(frame, 4)?).ok().filter(|&bytes| bytes <= limits::PREVIEW_METADATA_BYTES_MAX)?;
        let end = 8 + length;
        let metadata: Metadata<'_> = python_json::object(std::str::from_utf8(frame.get(8..end)?).ok()?)?;
        let prompt = Uuid::try_parse(&python_json::text(metadata.prompt_id, limits::PROMPT_ID_BYTES_MAX)?).ok()?;
        let node_id = |raw| python_json::text(raw, limits::NODE_ID_BYTES_MAX);
        let node = metadata.display_node_id.and_then(node_id).or_else(|| metadata.node_id.and_then(node_id))?;
        let is_png = python_json::text(metadata.image_type, limits::WORD_BYTES_MAX)? == "image/png";
        (prompt, node, is_png.then_some("image/png")?, frame.slice(end..))
    } else {
        let content_type = match (kind, number(frame, 4)?) {
            (PLAIN, 1) => "image/jpeg",
            (PLAIN, 2) => "image/png",
            _ => return None,
        };
        let (prompt, node) = executing?;
        (prompt, node.to_owned(), content_type, frame.slice(8..))
    };
    let picture = Picture::keep(content_type, bytes);
    Some(PromptEvent::Picture { prompt, node, picture })
}

fn number(frame: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(frame.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::{limits, read};
    use bytes::Bytes;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn frame(event: u32, metadata: &str, picture: &[u8]) -> Bytes {
        let length = u32::try_from(metadata.len()).unwrap().to_be_bytes();
        [&event.to_be_bytes()[..], &length, metadata.as_bytes(), picture].concat().into()
    }

    #[test]
    fn only_a_picture_with_its_prompt_id_is_a_preview() {
        let prompt = Uuid::from_u128(7);
        let metadata = format!(
            r#"{{"node_id":"2","prompt_id":"{prompt}","display_node_id":"2","parent_node_id":null,"image_type":"image/jpeg"}}"#
        );
        let preview = read(&frame(4, &metadata, b"\xff\xd8")).unwrap();
        assert_eq!(
            (preview.prompt, preview.content_type, &preview.bytes[..]),
            (prompt, "image/jpeg", &b"\xff\xd8"[..])
        );
        let large = vec![0; limits::PREVIEW_BYTES_MAX + 1];
        let long = format!("{metadata}{}", " ".repeat(limits::PREVIEW_METADATA_BYTES_MAX));
        for odd in [
            frame(1, &metadata, b"x"),
            frame(4, &metadata, b""),
            frame(4, &metadata, &large),
            frame(4, &long, b"x"),
            frame(4, &metadata.replace("jpeg", "svg+xml"), b"x"),
            frame(4, &metadata.replace("prompt_id", "id"), b"x"),
            frame(4, "[]", b"x"),
            frame(4, &metadata, b"x").slice(..40),
            Bytes::from_static(b"\0\0\0\x04\xff\xff\xff\xff"),
            Bytes::new(),
        ] {
            assert!(read(&odd).is_none(), "{odd:?}");
        }
    }

    proptest! {
        #[test]
        fn no_frame_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _odd = read(&Bytes::from([&[0, 0, 0, 4][..], &bytes].concat()));
        }
    }
}
