//! Duration of WAV and FLAC files, from their headers.

/// Returns the duration of a WAV in ms, from the bytes per second and the size in its chunks.
pub(super) fn wav(head: &[u8], size_bytes: u64) -> Option<u64> {
    let mut chunks = head.strip_prefix(b"RIFF")?.get(4..)?.strip_prefix(b"WAVE")?;
    let mut bytes_per_second = None;
    loop {
        let (name, length) = (chunks.get(..4)?, little(chunks, 4)?);
        let body = chunks.get(8..)?;
        match name {
            b"fmt " => bytes_per_second = little(body, 8),
            b"data" => {
                let from = head.len() - body.len();
                // A streaming writer does not know the length.
                let is_known = !matches!(length, 0 | u32::MAX);
                let bytes = if is_known { u64::from(length) } else { size_bytes.saturating_sub(from as u64) };
                let bytes_per_second = bytes_per_second.filter(|rate| *rate > 0)?;
                return Some(bytes.saturating_mul(1_000) / u64::from(bytes_per_second));
            }
            _ => {}
        }
        chunks = body.get((length as usize).checked_next_multiple_of(2)?..)?;
    }
}

/// Returns the duration of a FLAC in ms: its stream info has 20 bits of sample rate and 36 bits of sample count.
pub(super) fn flac(head: &[u8]) -> Option<u64> {
    let described = head.strip_prefix(b"fLaC")?.get(14..22)?;
    let described = u64::from_be_bytes(described.try_into().ok()?);
    let (rate, samples) = (described >> 44, described & ((1 << 36) - 1));
    (rate > 0 && samples > 0).then(|| samples * 1_000 / rate)
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
