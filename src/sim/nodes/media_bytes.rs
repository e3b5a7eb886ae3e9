//! Small files with the right magic bytes for media that is not drawn: audio, video, latents. Enough for a type
//! sniffer, not for a player.

use serde_json::json;

/// A 32×32 JPEG, used as preview of a sampler.
pub(crate) const PREVIEW: &[u8] = include_bytes!("preview.jpg");

fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut out = name.to_vec();
    out.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(body);
    if body.len() % 2 == 1 {
        out.push(0);
    }
    out
}

/// An extended WebP header of this size; animated if there are several frames.
pub(crate) fn webp(width: u32, height: u32, frames: u32) -> Vec<u8> {
    let size = |number: u32| -> [u8; 3] {
        let [a, b, c, _] = number.saturating_sub(1).to_le_bytes();
        [a, b, c]
    };
    // A lossless picture of one pixel.
    let pixel = chunk(*b"VP8L", &[0x2f, 0, 0, 0, 0, 0x07, 0x10, 0x11, 0x11, 0x88, 0x88, 0xfe, 0x07, 0]);
    let mut body = b"WEBP".to_vec();
    let flags = if frames > 1 { 2 } else { 0 };
    let header = [&[flags, 0, 0, 0][..], &size(width), &size(height)].concat();
    body.extend(chunk(*b"VP8X", &header));
    if frames > 1 {
        body.extend(chunk(*b"ANIM", &[0; 6]));
        for _ in 0..frames.min(1_000) {
            body.extend(chunk(*b"ANMF", &[&[0; 12][..], &[100, 0, 0, 0], &pixel].concat()));
        }
    } else {
        body.extend(pixel);
    }
    chunk(*b"RIFF", &body)
}

/// An MP4 with its type box and an empty movie.
pub(crate) fn mp4() -> Vec<u8> {
    let atom = |name: &[u8; 4], body: &[u8]| {
        let mut out = u32::try_from(body.len() + 8).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        out.extend_from_slice(name);
        out.extend_from_slice(body);
        out
    };
    [
        atom(b"ftyp", b"isom\0\0\x02\0isomiso2avc1mp41"),
        atom(b"free", b""),
        atom(b"mdat", b"stand-in"),
        atom(b"moov", b""),
    ]
    .concat()
}

/// An EBML header with the document type `webm`.
pub(crate) fn webm() -> Vec<u8> {
    let mut out = vec![0x1a, 0x45, 0xdf, 0xa3, 0x9f];
    out.extend([0x42, 0x86, 0x81, 1, 0x42, 0xf7, 0x81, 1, 0x42, 0xf2, 0x81, 4, 0x42, 0xf3, 0x81, 8]);
    out.extend([0x42, 0x82, 0x84]);
    out.extend(b"webm");
    out.extend([0x42, 0x87, 0x81, 4, 0x42, 0x85, 0x81, 2]);
    // A segment that contains only filler.
    out.extend([0x18, 0x53, 0x80, 0x67, 0x41, 0x02, 0xec, 0x40, 0xff]);
    out.resize(out.len() + 255, 0);
    out
}

/// The FLAC marker and a stream description.
pub(crate) fn flac(rate: u32, channels: u32) -> Vec<u8> {
    let mut out = b"fLaC\x80\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
    let described = (u64::from(rate) << 44) | (u64::from(channels.clamp(1, 8) - 1) << 41) | (15 << 36);
    out.extend(described.to_be_bytes());
    out.extend([0; 16]);
    out
}

/// An ID3 tag and a silent frame.
pub(crate) fn mp3() -> Vec<u8> {
    let mut out = b"ID3\x04\0\0\0\0\0\0".to_vec();
    out.extend([0xff, 0xfb, 0x90, 0x00]);
    out.extend([0; 413]);
    out
}

/// An Ogg page with an Opus head.
pub(crate) fn opus(channels: u32) -> Vec<u8> {
    let head = [
        b"OpusHead\x01".as_slice(),
        &[u8::try_from(channels.min(2)).unwrap_or(2)],
        &[0x38, 1, 0x80, 0xbb, 0, 0, 0, 0, 0],
    ]
    .concat();
    let mut out = b"OggS\0\x02".to_vec();
    out.extend([0; 20]);
    out.push(1);
    out.push(u8::try_from(head.len()).unwrap_or(19));
    out.extend(head);
    out
}

/// A safetensors file with one tensor of zeros.
pub(crate) fn latent(width: u32, height: u32, batch: u32) -> Vec<u8> {
    let shape = [batch.max(1), 4, (height / 8).clamp(1, 64), (width / 8).clamp(1, 64)];
    let bytes = (shape.iter().map(|side| u64::from(*side)).product::<u64>() * 4).min(1 << 20);
    let header = json!({
        "latent_tensor": {"dtype": "F32", "shape": shape, "data_offsets": [0, bytes]},
        "latent_format_version_0": {"dtype": "F32", "shape": [0], "data_offsets": [bytes, bytes]},
    })
    .to_string();
    let mut out = u64::try_from(header.len()).unwrap_or(0).to_le_bytes().to_vec();
    out.extend(header.into_bytes());
    out.resize(out.len() + usize::try_from(bytes).unwrap_or(0), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::{PREVIEW, flac, latent, mp3, mp4, opus, webm, webp};

    #[test]
    fn a_sniffer_knows_every_kind() {
        for (bytes, kind) in [
            (webp(64, 64, 4), "image/webp"),
            (webp(64, 64, 1), "image/webp"),
            (mp4(), "video/mp4"),
            (webm(), "video/webm"),
            (flac(44_100, 2), "audio/x-flac"),
            (mp3(), "audio/mpeg"),
            (opus(2), "audio/opus"),
            (PREVIEW.to_vec(), "image/jpeg"),
        ] {
            assert_eq!(infer::get(&bytes).map(|found| found.mime_type()), Some(kind));
        }
        let latent = latent(64, 64, 1);
        let length = u64::from_le_bytes(latent[..8].try_into().unwrap());
        assert_eq!(latent[8], b'{');
        assert_eq!(latent.len() as u64, 8 + length + 4 * 8 * 8 * 4);
    }
}
