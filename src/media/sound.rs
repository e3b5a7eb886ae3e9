//! How long a sound is: WAV and FLAC say so where they begin.

/// Of a WAV in ms: its chunks give bytes per second and bytes.
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
                // A stream's writer did not know.
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

/// Of a FLAC in ms: its stream description has 20 bits of rate and 36 of samples.
pub(super) fn flac(head: &[u8]) -> Option<u64> {
    let described = head.strip_prefix(b"fLaC")?.get(14..22)?;
    let described = u64::from_be_bytes(described.try_into().ok()?);
    let (rate, samples) = (described >> 44, described & ((1 << 36) - 1));
    (rate > 0 && samples > 0).then(|| samples * 1_000 / rate)
}

fn little(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
