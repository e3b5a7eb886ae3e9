//! Thumbnails of images, made within strict limits: a file of some kilobytes may decode into gigabytes.

use image::{DynamicImage, ImageDecoder as _, ImageFormat, ImageReader, Limits, codecs::jpeg::JpegEncoder};
use std::io::Cursor;

/// Largest file that is decoded, bytes; it is held in memory.
pub const FILE_BYTES_MAX: u64 = 64 << 20;
/// Longest side that is decoded, pixels.
const SIDE_MAX: u32 = 16_384;
/// Largest area that is decoded, pixels.
const PIXELS_MAX: u64 = 40_000_000;
/// Maximum allocation of the decoder, bytes: the largest area with four bytes per pixel, plus some.
const MEMORY_MAX: u64 = 192 << 20;
/// JPEG quality.
const QUALITY: u8 = 82;

/// A thumbnail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbnail {
    /// `image/jpeg`, or `image/png` for images with transparency.
    pub content_type: &'static str,
    /// The encoded image.
    pub bytes: Vec<u8>,
}

/// The reason there is no thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not PNG, JPEG, GIF or WebP.
    #[error("no thumbnail can be made of this file")]
    NoPicture,
    /// Has the signature of one of these, but cannot be decoded.
    #[error("the image is damaged")]
    Broken,
    /// Too many bytes, pixels, or too much memory.
    #[error("the image is too large for a thumbnail")]
    TooLarge,
}

/// Decodes a PNG, JPEG, GIF or WebP (the first frame of an animation), applies its orientation, and scales it down to
/// fit into a square of `side` pixels; a smaller image keeps its size. Blocks a core for a moment, so it must not run
/// on an async task.
///
/// # Errors
/// See [`Refused`].
pub fn thumbnail(file: &[u8], side: u32) -> Result<Thumbnail, Refused> {
    if file.len() as u64 > FILE_BYTES_MAX {
        return Err(Refused::TooLarge);
    }
    let mut reader = ImageReader::new(Cursor::new(file)).with_guessed_format().map_err(|_| Refused::NoPicture)?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg | ImageFormat::Gif | ImageFormat::WebP)) {
        return Err(Refused::NoPicture);
    }
    let mut limits = Limits::default();
    (limits.max_image_width, limits.max_image_height) = (Some(SIDE_MAX), Some(SIDE_MAX));
    limits.max_alloc = Some(MEMORY_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(why)?;
    // Checked before the pixels are allocated.
    let (width, height) = decoder.dimensions();
    if u64::from(width) * u64::from(height) > PIXELS_MAX || decoder.total_bytes() > MEMORY_MAX {
        return Err(Refused::TooLarge);
    }
    let orientation = decoder.orientation().map_err(why)?;
    let mut picture = DynamicImage::from_decoder(decoder).map_err(why)?;
    if width > side || height > side {
        picture = picture.thumbnail(side, side);
    }
    picture.apply_orientation(orientation);
    write(&picture)
}

fn write(picture: &DynamicImage) -> Result<Thumbnail, Refused> {
    let mut bytes = Cursor::new(Vec::new());
    let has_alpha = picture.color().has_alpha() && picture.to_rgba8().pixels().any(|pixel| pixel.0[3] < u8::MAX);
    let (content_type, written) = if has_alpha {
        ("image/png", picture.to_rgba8().write_to(&mut bytes, ImageFormat::Png))
    } else {
        ("image/jpeg", picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY)))
    };
    written.map_err(why)?;
    Ok(Thumbnail { content_type, bytes: bytes.into_inner() })
}

fn why(error: image::ImageError) -> Refused {
    if matches!(error, image::ImageError::Limits(_)) { Refused::TooLarge } else { Refused::Broken }
}

#[cfg(test)]
mod tests {
    use super::{Refused, thumbnail};
    use image::{ImageFormat, Rgba, RgbaImage};
    use proptest::prelude::*;
    use std::io::Cursor;

    fn picture(width: u32, height: u32, alpha: u8, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let image = image::DynamicImage::from(RgbaImage::from_pixel(width, height, Rgba([200, 30, 30, alpha])));
        let image = if format == ImageFormat::Jpeg { image.to_rgb8().into() } else { image };
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn size(bytes: &[u8]) -> (usize, usize) {
        let size = imagesize::blob_size(bytes).unwrap();
        (size.width, size.height)
    }

    #[test]
    fn a_thumbnail_fits_and_is_never_enlarged() {
        for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP] {
            for ((width, height), expected) in
                [((600, 300), (256, 128)), ((100, 50), (100, 50)), ((30, 900), (9, 256)), ((1, 2_000), (1, 256))]
            {
                let made = thumbnail(&picture(width, height, 255, format), 256).unwrap();
                assert_eq!((made.content_type, size(&made.bytes)), ("image/jpeg", expected), "{format:?}");
            }
        }
        let made = thumbnail(&picture(600, 300, 128, ImageFormat::Png), 64).unwrap();
        assert_eq!((made.content_type, size(&made.bytes)), ("image/png", (64, 32)), "transparency is kept");
    }

    /// A header that claims 4 gigapixels, and a real image of some kilobytes that decodes into 200 MB.
    #[test]
    fn bombs_are_refused() {
        let mut png = picture(8, 8, 255, ImageFormat::Png);
        let header = [&b"IHDR"[..], &65_000_u32.to_be_bytes(), &65_000_u32.to_be_bytes(), b"\x08\x06\0\0\0"].concat();
        png[12..29].copy_from_slice(&header);
        let crc = crc(&header);
        png[29..33].copy_from_slice(&crc.to_be_bytes());
        assert_eq!(thumbnail(&png, 64), Err(Refused::TooLarge));
        let flat = picture(7_100, 7_100, 255, ImageFormat::Png);
        assert!(flat.len() < 1 << 20, "{}", flat.len());
        assert_eq!(thumbnail(&flat, 64), Err(Refused::TooLarge));
    }

    fn crc(bytes: &[u8]) -> u32 {
        !bytes.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
        })
    }

    #[test]
    fn other_files_are_refused() {
        let whole = picture(64, 64, 255, ImageFormat::Png);
        for bytes in [&b""[..], b"text", b"<svg xmlns=\"http://www.w3.org/2000/svg\"/>", b"BM\0\0"] {
            assert_eq!(thumbnail(bytes, 64), Err(Refused::NoPicture), "{}", bytes.len());
        }
        for bytes in [&whole[..60], &whole[..8], b"\x89PNG\r\n\x1a\n broken"] {
            assert_eq!(thumbnail(bytes, 64), Err(Refused::Broken), "{}", bytes.len());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_damaged_image_does_not_panic(place in 0..400_usize, byte in any::<u8>(), kind in 0..4_usize) {
            let format = [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Gif, ImageFormat::WebP][kind];
            let mut bytes = picture(20, 20, 255, format);
            let place = place % bytes.len();
            bytes[place] = byte;
            let _made = thumbnail(&bytes, 16);
        }
    }
}
