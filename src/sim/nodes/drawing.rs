//! Pictures, drawn when they are saved: a gradient in the seed's colours with the prompt's text and the seed on it, or
//! a flat colour, or a loaded picture. In memory a picture is only its description, regardless of its size.

mod painter;

use painter::Painter;
use std::{io::Cursor, sync::Arc};

/// Pixels of a loaded picture.
const LOADED_PIXELS_MAX: u64 = 16_000_000;

/// Content of a picture.
#[derive(Debug, Clone)]
pub(crate) enum Ink {
    /// `0xRRGGBB`.
    Flat(u32),
    /// A gradient in colours from the seed, with the text on top.
    Drawn { seed: u64, text: Arc<str> },
    /// Loaded from a file: width, height, RGB.
    Loaded(u32, u32, Arc<[u8]>),
}

/// A batch of pictures of one size.
#[derive(Debug, Clone)]
pub(crate) struct Picture {
    pub width: u32,
    pub height: u32,
    pub batch: u32,
    pub ink: Ink,
    pub is_inverted: bool,
}

impl Picture {
    pub(crate) fn flat(width: u32, height: u32, batch: u32, colour: u32) -> Self {
        Self { width, height, batch, ink: Ink::Flat(colour), is_inverted: false }
    }

    /// Pixels of the whole batch.
    pub(crate) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * u64::from(self.batch)
    }

    /// Reads a PNG; `None` if it is not one, or too large.
    pub(crate) fn load(png: &[u8]) -> Option<Self> {
        let mut decoder = png::Decoder::new(Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().ok()?;
        let (width, height) = (reader.info().width, reader.info().height);
        if u64::from(width) * u64::from(height) > LOADED_PIXELS_MAX {
            return None;
        }
        let mut content = vec![0; reader.output_buffer_size()?];
        let frame = reader.next_frame(&mut content).ok()?;
        content.truncate(frame.buffer_size());
        let rgb: Vec<u8> = match frame.color_type {
            png::ColorType::Rgb => content,
            png::ColorType::Rgba => content.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(),
            png::ColorType::Grayscale => content.iter().flat_map(|level| [*level; 3]).collect(),
            png::ColorType::GrayscaleAlpha => content.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
            png::ColorType::Indexed => return None,
        };
        Some(Self { width, height, batch: 1, ink: Ink::Loaded(width, height, rgb.into()), is_inverted: false })
    }

    /// Returns the PNG of one picture of the batch, with `tEXt` chunks.
    pub(crate) fn png(&self, index: u32, texts: &[(String, String)]) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = self.encoder(&mut out);
        for (key, text) in texts {
            encoder.add_text_chunk(key.clone(), text.clone())?;
        }
        let mut writer = encoder.write_header()?;
        let mut stream = writer.stream_writer()?;
        self.rows(index, |row| std::io::Write::write_all(&mut stream, row))?;
        stream.finish()?;
        writer.finish()?;
        Ok(out)
    }

    /// Returns the whole batch as an animated PNG.
    pub(crate) fn animated_png(&self, fps: u16) -> Result<Vec<u8>, png::EncodingError> {
        let mut out = Vec::new();
        let mut encoder = self.encoder(&mut out);
        encoder.set_animated(self.batch.max(1), 0)?;
        encoder.set_frame_delay(1, fps.max(1))?;
        let mut writer = encoder.write_header()?;
        for index in 0..self.batch.max(1) {
            let mut frame = Vec::new();
            self.rows(index, |row| {
                frame.extend_from_slice(row);
                Ok(())
            })?;
            writer.write_image_data(&frame)?;
        }
        writer.finish()?;
        Ok(out)
    }

    fn encoder<'a>(&self, out: &'a mut Vec<u8>) -> png::Encoder<'static, &'a mut Vec<u8>> {
        let mut encoder = png::Encoder::new(out, self.width.max(1), self.height.max(1));
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::Fast);
        encoder
    }

    fn rows(&self, index: u32, mut write: impl FnMut(&[u8]) -> std::io::Result<()>) -> Result<(), png::EncodingError> {
        let (width, height) = (self.width.max(1), self.height.max(1));
        let mut row = vec![0_u8; width as usize * 3];
        let painter = Painter::new(self, index);
        for y in 0..height {
            painter.paint(y, &mut row);
            if self.is_inverted {
                row.iter_mut().for_each(|level| *level = 255 - *level);
            }
            write(&row).map_err(png::EncodingError::IoError)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Ink, Picture};

    #[test]
    fn a_drawn_picture_comes_back_as_it_was() {
        let ink = Ink::Drawn { seed: 42, text: "a cat in a hat".into() };
        let picture = Picture { width: 300, height: 200, batch: 1, ink, is_inverted: false };
        let png = picture.png(0, &[("prompt".into(), "{\"1\": 2}".into())]).unwrap();
        let loaded = Picture::load(&png).unwrap();
        assert_eq!((loaded.width, loaded.height), (300, 200));
        let Ink::Loaded(.., rgb) = &loaded.ink else { panic!("not loaded") };
        let white = rgb.chunks_exact(3).filter(|pixel| **pixel == [255; 3]).count();
        assert!(white > 200, "no letters: {white} white pixels");
        let other = Picture { ink: Ink::Drawn { seed: 43, text: "a cat in a hat".into() }, ..picture.clone() };
        assert_ne!(other.png(0, &[]).unwrap(), picture.png(0, &[]).unwrap());
    }

    #[test]
    fn inverting_twice_and_tiny_pictures_work() {
        let flat = Picture::flat(1, 1, 1, 0x0033_6699);
        let inverted = Picture { is_inverted: true, ..flat.clone() };
        let Some(Picture { ink: Ink::Loaded(.., rgb), .. }) = Picture::load(&inverted.png(0, &[]).unwrap()) else {
            panic!()
        };
        assert_eq!(*rgb, [0xcc, 0x99, 0x66]);
        let tiny = Picture { ink: Ink::Drawn { seed: u64::MAX, text: "x".repeat(5_000).into() }, ..flat };
        assert!(Picture::load(&tiny.png(0, &[]).unwrap()).is_some());
        assert!(Picture::load(b"not a png").is_none());
    }
}
