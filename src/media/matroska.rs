//! Facts from Matroska and WebM files, which consist of nested elements (RFC 8794, RFC 9559).

use super::Facts;

const SEGMENT: u32 = 0x1853_8067;
const INFO: u32 = 0x1549_A966;
const TRACKS: u32 = 0x1654_AE6B;
const TRACK: u32 = 0xAE;
const VIDEO: u32 = 0xE0;
const SCALE: u32 = 0x002A_D7B1;
const DURATION: u32 = 0x4489;
const WIDTH: u32 = 0xB0;
const HEIGHT: u32 = 0xBA;
/// Default duration of a tick, nanoseconds.
const SCALE_DEFAULT: u64 = 1_000_000;
/// Maximum number of elements read.
const ELEMENTS_MAX: usize = 2_000;

/// Reads the facts at the beginning of a file.
pub(super) fn facts(bytes: &[u8]) -> Facts {
    let (mut facts, mut scale, mut ticks) = (Facts::default(), SCALE_DEFAULT, None);
    let mut rest = bytes;
    for _ in 0..ELEMENTS_MAX {
        let Some((id, size, body)) = element(rest) else { break };
        // Of an element with children only the header is skipped, so its children are read next.
        if matches!(id, SEGMENT | INFO | TRACKS | TRACK | VIDEO) {
            rest = body;
            continue;
        }
        let Some(value) = usize::try_from(size).ok().and_then(|size| body.get(..size)) else { break };
        rest = &body[value.len()..];
        match id {
            SCALE => scale = number(value),
            DURATION => ticks = float(value),
            WIDTH if facts.width.is_none() => facts.width = u32::try_from(number(value)).ok(),
            HEIGHT if facts.height.is_none() => facts.height = u32::try_from(number(value)).ok(),
            _ => {}
        }
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "`as` saturates"
    )]
    let ms = |ticks: f64| (ticks * scale as f64 / 1e6) as u64;
    facts.duration_ms = ticks.filter(|ticks| ticks.is_finite() && *ticks > 0.0).map(ms);
    facts
}

/// Reads id and size of an element, and returns them with the bytes from its body on.
fn element(bytes: &[u8]) -> Option<(u32, u64, &[u8])> {
    let id_length = bytes.first()?.leading_zeros() as usize + 1;
    if id_length > 4 {
        return None;
    }
    let id = u32::try_from(number(bytes.get(..id_length)?)).ok()?;
    let bytes = &bytes[id_length..];
    let size_length = bytes.first()?.leading_zeros() as usize + 1;
    if size_length > 8 {
        return None;
    }
    let marked = number(bytes.get(..size_length)?);
    Some((id, marked & !(1 << (7 * size_length)), &bytes[size_length..]))
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

fn float(bytes: &[u8]) -> Option<f64> {
    match bytes.len() {
        4 => Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?))),
        8 => Some(f64::from_be_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}
