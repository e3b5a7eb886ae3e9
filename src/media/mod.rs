//! Facts from the headers of images, videos and audio files, and thumbnails. Pure: callers provide the bytes. The only
//! user of image and imagesize.
//!
//! Invariant: the bytes are untrusted: no function panics, reads a whole file, or trusts a size before checking it.

mod audio;
mod matroska;
mod mp4;
mod thumbnail;

pub use thumbnail::{FILE_BYTES_MAX, Refused, Thumbnail, thumbnail};

use std::ops::Range;

/// Number of bytes searched for the header of an image: a JPEG may begin with a long profile or an embedded workflow.
const PICTURE_HEADER_BYTES: u64 = 256 * 1024;
/// Number of bytes searched in a Matroska file.
const EBML_HEADER_BYTES: u64 = 64 * 1024;
/// Maximum number of bytes read of an MP4's index.
const INDEX_BYTES_MAX: u64 = 256 * 1024;
/// Maximum number of reads of one file.
const READS_MAX: u32 = 64;

/// Facts from the header of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Width, pixels.
    pub width: Option<u32>,
    /// Height, pixels.
    pub height: Option<u32>,
    /// Duration of a video or sound, ms.
    pub duration_ms: Option<u64>,
}

/// Finds the facts of one file from the few parts that it needs: call [`Probe::wants`] and [`Probe::feed`] until it
/// wants nothing more.
#[derive(Debug)]
pub struct Probe {
    size_bytes: u64,
    wanted: Option<(Range<u64>, Step)>,
    reads: u32,
    facts: Facts,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Picture,
    Ebml,
    /// Expects the header of a box.
    Box,
    /// Expects the `moov` of an MP4, or its beginning.
    Index,
}

impl Probe {
    /// Starts a probe of a file of this type and size; `head` holds its first bytes.
    pub fn new(content_type: &str, head: &[u8], size_bytes: u64) -> Self {
        let mut probe = Self { size_bytes, wanted: None, reads: 0, facts: Facts::default() };
        match content_type {
            "video/mp4" | "video/quicktime" | "audio/mp4" => probe.want(0..mp4::HEADER_BYTES, Step::Box),
            "video/webm" | "video/x-matroska" => probe.want(0..EBML_HEADER_BYTES, Step::Ebml),
            "audio/wav" => probe.facts.duration_ms = audio::wav(head, size_bytes),
            "audio/flac" => probe.facts.duration_ms = audio::flac(head),
            picture if picture.starts_with("image/") && !probe.take_picture(head) => {
                probe.want(0..PICTURE_HEADER_BYTES, Step::Picture);
            }
            _ => {}
        }
        while let Some(known) = probe.wants().and_then(|range| part_of(head, &range)) {
            probe.feed(known);
        }
        probe
    }

    /// Returns the range of the file that it needs next; never empty, always within the file.
    pub fn wants(&self) -> Option<Range<u64>> {
        self.wanted.as_ref().map(|(range, _)| range.clone())
    }

    /// Takes the bytes of the wanted range.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Some((range, step)) = self.wanted.take() else { return };
        match step {
            Step::Picture => {
                self.take_picture(bytes);
            }
            Step::Ebml => self.facts = matroska::facts(bytes),
            Step::Index => self.facts = mp4::facts(bytes),
            Step::Box => match mp4::header(bytes, self.size_bytes - range.start) {
                Some((name, size)) if &name == b"moov" => {
                    self.want(range.start..range.start.saturating_add(size.min(INDEX_BYTES_MAX)), Step::Index);
                }
                Some((_, size)) => {
                    let next = range.start.saturating_add(size);
                    self.want(next..next.saturating_add(mp4::HEADER_BYTES), Step::Box);
                }
                None => {}
            },
        }
    }

    /// Returns the facts found.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    fn want(&mut self, range: Range<u64>, step: Step) {
        let range = range.start..range.end.min(self.size_bytes);
        self.reads += 1;
        if !range.is_empty() && self.reads <= READS_MAX {
            self.wanted = Some((range, step));
        }
    }

    fn take_picture(&mut self, bytes: &[u8]) -> bool {
        let Ok(size) = imagesize::blob_size(bytes) else { return false };
        let (Ok(width), Ok(height)) = (u32::try_from(size.width), u32::try_from(size.height)) else { return false };
        if width > 0 && height > 0 {
            (self.facts.width, self.facts.height) = (Some(width), Some(height));
        }
        true
    }
}

fn part_of<'a>(head: &'a [u8], range: &Range<u64>) -> Option<&'a [u8]> {
    head.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
}

#[cfg(test)]
mod tests {
    use super::{Facts, Probe};
    use proptest::prelude::*;

    /// Runs a probe with a head of 512 bytes; also returns how many further bytes were read.
    fn probe(content_type: &str, file: &[u8]) -> (Facts, usize) {
        let mut probe = Probe::new(content_type, &file[..file.len().min(512)], file.len() as u64);
        let mut read = 0;
        while let Some(range) = probe.wants() {
            let part = &file[range.start as usize..range.end as usize];
            read += part.len();
            probe.feed(part);
        }
        (probe.facts(), read)
    }

    fn boxed(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], name, body].concat()
    }

    fn film(payload: usize) -> Vec<u8> {
        let mvhd = [&[0; 12][..], &600_u32.to_be_bytes(), &1_530_u32.to_be_bytes(), &[0; 80]].concat();
        let mut tkhd = vec![0; 84];
        tkhd[76..80].copy_from_slice(&(640_u32 << 16).to_be_bytes());
        tkhd[80..].copy_from_slice(&(360_u32 << 16).to_be_bytes());
        let sound = boxed(b"trak", &boxed(b"tkhd", &[0; 84]));
        let moov = [boxed(b"mvhd", &mvhd), sound, boxed(b"trak", &boxed(b"tkhd", &tkhd))].concat();
        [boxed(b"ftyp", b"isom0000"), boxed(b"mdat", &vec![0; payload]), boxed(b"moov", &moov)].concat()
    }

    #[test]
    fn an_mp4_is_read_sparsely_wherever_its_index_is() {
        let facts = Facts { width: Some(640), height: Some(360), duration_ms: Some(2_550) };
        for payload in [0, 100, 5_000_000] {
            let (found, read) = probe("video/mp4", &film(payload));
            assert_eq!(found, facts, "{payload}");
            assert!(read < 2_000, "{read} bytes");
        }
        let mut large = boxed(b"ftyp", b"isom0000");
        large.extend([0, 0, 0, 1]);
        large.extend(b"mdat");
        large.extend(24_u64.to_be_bytes());
        large.extend([0; 8]);
        large.extend(&film(0)[24..]);
        assert_eq!(probe("video/quicktime", &large).0, facts, "a box of 64-bit size");
    }

    #[test]
    fn a_webm_has_size_and_duration() {
        let element = |id: &[u8], body: &[u8]| [id, &[0x80 | u8::try_from(body.len()).unwrap()], body].concat();
        let info =
            [element(&[0x2a, 0xd7, 0xb1], &[0x0f, 0x42, 0x40]), element(&[0x44, 0x89], &1_234.0_f64.to_be_bytes())];
        let video = [element(&[0xb0], &[2, 0x80]), element(&[0xba], &[1, 0x68])].concat();
        let tracks = element(&[0xae], &[element(&[0xd7], &[1]), element(&[0xe0], &video)].concat());
        let body =
            [element(&[0x15, 0x49, 0xa9, 0x66], &info.concat()), element(&[0x16, 0x54, 0xae, 0x6b], &tracks)].concat();
        let segment = [&[0x18, 0x53, 0x80, 0x67, 0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..], &body].concat();
        let file = [element(&[0x1a, 0x45, 0xdf, 0xa3], b"\x42\x82\x84webm"), segment].concat();
        let facts = Facts { width: Some(640), height: Some(360), duration_ms: Some(1_234) };
        assert_eq!(probe("video/webm", &file).0, facts);
    }

    #[test]
    fn audio_files_have_a_duration() {
        let mut wav = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x02\0\x44\xac\0\0\x10\xb1\x02\0\x04\0\x10\0".to_vec();
        wav.extend(b"LIST\x04\0\0\0abcddata");
        wav.extend(352_800_u32.to_le_bytes());
        assert_eq!(probe("audio/wav", &wav).0.duration_ms, Some(2_000));
        let mut flac = b"fLaC\0\0\0\x22\x10\0\x10\0\0\0\0\0\0\0".to_vec();
        flac.extend(((44_100_u64 << 44) | (1 << 41) | (15 << 36) | 66_150).to_be_bytes());
        flac.extend([0; 16]);
        assert_eq!(probe("audio/flac", &flac).0.duration_ms, Some(1_500));
    }

    #[test]
    fn the_size_of_an_image_is_found_after_a_long_profile() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x03\0\0\0\x02\0\x08\x02\0\0\0";
        assert_eq!(probe("image/png", png), (Facts { width: Some(768), height: Some(512), duration_ms: None }, 0));
        let mut jpeg = b"\xff\xd8\xff\xe1\xea\x60".to_vec();
        jpeg.resize(jpeg.len() + 59_998, 7);
        jpeg.extend(b"\xff\xc0\0\x11\x08\x02\0\x03\0\x03\x01\x22\0\x02\x11\x01\x03\x11\x01\xff\xd9");
        assert_eq!(probe("image/jpeg", &jpeg).0, Facts { width: Some(768), height: Some(512), duration_ms: None });
        assert_eq!(probe("image/png", b"no picture").0, Facts::default());
    }

    proptest! {
        #[test]
        fn nothing_panics_or_reads_forever(
            bytes in proptest::collection::vec(any::<u8>(), 0..900),
            cut in 0..400_usize,
            kind in "image/png|image/jpeg|image/webp|video/mp4|video/webm|audio/wav|audio/flac",
        ) {
            probe(&kind, &bytes);
            let film = film(40);
            probe(&kind, &film[..cut.min(film.len())]);
            probe(&kind, &[b"RIFF\0\0\0\0WAVE", &bytes[..]].concat());
            probe(&kind, &[b"fLaC", &bytes[..]].concat());
        }
    }
}
