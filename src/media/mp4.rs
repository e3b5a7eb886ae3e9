//! Facts from ISO base media files (MP4, MOV, M4A), which consist of nested boxes (ISO 14496-12).

use super::Facts;

/// Size of the header of a box with a 64-bit size; other headers have 8 bytes.
pub(super) const HEADER_BYTES: u64 = 16;
/// Maximum number of boxes read on one level.
const BOXES_MAX: usize = 256;

/// Reads name and size (including the header) of the box at the start of `bytes`; `rest` is the number of bytes to the
/// end of the file. `None` if there is no box.
pub(super) fn header(bytes: &[u8], rest: u64) -> Option<([u8; 4], u64)> {
    let name = bytes.get(4..8)?.try_into().ok()?;
    let size = match u64::from(number(bytes, 0)?) {
        0 => rest,
        1 => u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?),
        size => size,
    };
    (size >= 8).then_some((name, size))
}

/// Reads the facts of a `moov`, or of its beginning.
pub(super) fn facts(moov: &[u8]) -> Facts {
    let mut facts = Facts::default();
    for (name, body) in children(moov) {
        match &name {
            b"mvhd" => facts.duration_ms = duration(body),
            b"trak" if facts.width.is_none() => {
                let header = children_of(body).find(|(name, _)| name == b"tkhd");
                if let Some((width, height)) = header.and_then(|(_, header)| size(header)) {
                    (facts.width, facts.height) = (Some(width), Some(height));
                }
            }
            _ => {}
        }
    }
    facts
}

/// Returns the boxes inside the box at the start of `bytes`.
fn children(bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let skip = if number(bytes, 0) == Some(1) { 16 } else { 8 };
    children_of(bytes.get(skip..).unwrap_or_default())
}

fn children_of(mut body: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let next = move || {
        let (name, size) = header(body, body.len() as u64)?;
        let end = usize::try_from(size).unwrap_or(usize::MAX).min(body.len());
        let inside = body.get(if number(body, 0) == Some(1) { 16 } else { 8 }..end)?;
        body = &body[end..];
        Some((name, inside))
    };
    std::iter::from_fn(next).take(BOXES_MAX)
}

fn duration(mvhd: &[u8]) -> Option<u64> {
    let (scale, duration) = match mvhd.first()? {
        0 => (number(mvhd, 12)?, u64::from(number(mvhd, 16)?)),
        _ => (number(mvhd, 20)?, u64::from_be_bytes(mvhd.get(24..32)?.try_into().ok()?)),
    };
    let is_known = scale > 0 && duration > 0 && duration != u64::MAX && duration != u64::from(u32::MAX);
    is_known.then(|| duration.checked_mul(1_000)).flatten().map(|ms| ms / u64::from(scale))
}

/// Reads width and height of a track, 16.16 fixed point; an audio track has none.
fn size(tkhd: &[u8]) -> Option<(u32, u32)> {
    let at = if *tkhd.first()? == 0 { 76 } else { 88 };
    let (width, height) = (number(tkhd, at)? >> 16, number(tkhd, at + 4)? >> 16);
    (width > 0 && height > 0).then_some((width, height))
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
