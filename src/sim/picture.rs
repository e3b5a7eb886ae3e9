//! Pictures, drawn when they are saved: a gradient of the seed's colours with the prompt's text and the seed on it, or a flat
//! colour, or a loaded picture. A picture in memory is only its description, whatever its size.

use font8x8::UnicodeFonts;
use std::{io::Cursor, sync::Arc};

/// Letters of a text that are drawn.
const LETTERS_MAX: usize = 600;
/// Pixels of a loaded picture.
const LOADED_PIXELS_MAX: u64 = 16_000_000;

/// What is on it.
#[derive(Debug, Clone)]
pub(super) enum Ink {
    /// `0xRRGGBB`.
    Flat(u32),
    /// Colours from the seed, the text on top.
    Drawn { seed: u64, text: Arc<str> },
    /// Loaded from a file: width, height, RGB.
    Loaded(u32, u32, Arc<[u8]>),
}

/// A batch of pictures of one size.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    pub width: u32,
    pub height: u32,
    pub batch: u32,
    pub ink: Ink,
    pub is_inverted: bool,
}

impl Picture {
    pub(super) fn flat(width: u32, height: u32, batch: u32, colour: u32) -> Self {
        Self { width, height, batch, ink: Ink::Flat(colour), is_inverted: false }
    }

    /// Pixels of the whole batch.
    pub(super) fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * u64::from(self.batch)
    }

    /// Reads a PNG; `None` if it is none or too large.
    pub(super) fn load(png: &[u8]) -> Option<Self> {
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

    /// The PNG of one of the batch, with `tEXt` entries.
    pub(super) fn png(&self, index: u32, texts: &[(String, String)]) -> Result<Vec<u8>, png::EncodingError> {
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

    /// All of the batch as one animated PNG.
    pub(super) fn animated_png(&self, fps: u16) -> Result<Vec<u8>, png::EncodingError> {
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

/// Paints rows of one picture.
struct Painter<'a> {
    picture: &'a Picture,
    from: [u32; 3],
    to: [u32; 3],
    lines: Vec<String>,
    scale: u32,
    top: u32,
}

impl<'a> Painter<'a> {
    fn new(picture: &'a Picture, index: u32) -> Self {
        let (width, height) = (picture.width.max(1), picture.height.max(1));
        let mut painter = Self {
            picture,
            from: [0; 3],
            to: [0; 3],
            lines: Vec::new(),
            scale: (width.min(height) / 256).max(1),
            top: height,
        };
        if let Ink::Drawn { seed, text } = &picture.ink {
            let mixed = seed.wrapping_add(u64::from(index)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            let hue = u32::try_from(mixed % 360).unwrap_or(0);
            painter.from = hsv(hue, 150, 235);
            painter.to = hsv((hue + 40 + u32::try_from(mixed >> 40 & 63).unwrap_or(0)) % 360, 190, 120);
            let columns = (width / (8 * painter.scale)).saturating_sub(2).max(1) as usize;
            painter.lines = wrapped(text, columns);
            painter.lines.extend(wrapped(&format!("seed {seed}"), columns));
            let rows_max = (height / (10 * painter.scale)).saturating_sub(1) as usize;
            if painter.lines.len() > rows_max {
                // The seed stays: it is the last line.
                let surplus = painter.lines.len() - rows_max;
                let end = painter.lines.len().saturating_sub(1);
                painter.lines.drain(end.saturating_sub(surplus)..end);
                painter.lines.truncate(rows_max);
            }
            let tall = u32::try_from(painter.lines.len()).unwrap_or(0) * 10 * painter.scale;
            painter.top = height.saturating_sub(tall + 5 * painter.scale);
        }
        painter
    }

    fn paint(&self, y: u32, row: &mut [u8]) {
        match &self.picture.ink {
            Ink::Flat(colour) => {
                let [_, red, green, blue] = colour.to_be_bytes();
                for pixel in row.chunks_exact_mut(3) {
                    pixel.copy_from_slice(&[red, green, blue]);
                }
            }
            Ink::Loaded(width, height, rgb) => self.sample(y, row, *width, *height, rgb),
            Ink::Drawn { .. } => {
                self.gradient(y, row);
                self.write(y, row);
            }
        }
    }

    fn sample(&self, y: u32, row: &mut [u8], width: u32, height: u32, rgb: &[u8]) {
        let scaled = |at: u32, of: u32, to: u32| (u64::from(at) * u64::from(to) / u64::from(of.max(1))) as usize;
        let from = scaled(y, self.picture.height, height) * width as usize;
        for (x, pixel) in (0..).zip(row.chunks_exact_mut(3)) {
            let at = (from + scaled(x, self.picture.width, width)) * 3;
            if let Some(source) = rgb.get(at..at + 3) {
                pixel.copy_from_slice(source);
            }
        }
    }

    fn gradient(&self, y: u32, row: &mut [u8]) {
        let span = self.picture.width.max(1) + self.picture.height.max(1);
        let is_band = y >= self.top;
        for (x, pixel) in (0_u32..).zip(row.chunks_exact_mut(3)) {
            let share = (u64::from(x + y) * 256 / u64::from(span)) as u32;
            for ((level, from), to) in pixel.iter_mut().zip(self.from).zip(self.to) {
                let mixed = (from * (256 - share) + to * share) >> 8;
                *level = u8::try_from(if is_band { mixed / 3 } else { mixed }).unwrap_or(255);
            }
        }
    }

    /// White letters in the dark band.
    fn write(&self, y: u32, row: &mut [u8]) {
        let Some(below) = y.checked_sub(self.top + 3 * self.scale) else { return };
        let (line, rest) = (below / (10 * self.scale), below % (10 * self.scale));
        let Some(text) = self.lines.get(line as usize) else { return };
        let Some(bits_at) = usize::try_from(rest / self.scale).ok().filter(|at| *at < 8) else { return };
        let mut x = 8 * self.scale as usize;
        for letter in text.chars() {
            let bits = glyph(letter)[bits_at];
            for column in 0..8 * self.scale as usize {
                let at = (x + column) * 3;
                if bits >> (column / self.scale as usize) & 1 == 1
                    && let Some(pixel) = row.get_mut(at..at + 3)
                {
                    pixel.fill(255);
                }
            }
            x += 8 * self.scale as usize;
        }
    }
}

/// The letter's bits, or a box for one the font does not have.
fn glyph(letter: char) -> [u8; 8] {
    font8x8::BASIC_FONTS
        .get(letter)
        .or_else(|| font8x8::LATIN_FONTS.get(letter))
        .or_else(|| font8x8::GREEK_FONTS.get(letter))
        .or_else(|| font8x8::HIRAGANA_FONTS.get(letter))
        .or_else(|| font8x8::BOX_FONTS.get(letter))
        .unwrap_or([0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0])
}

/// Lines of at most `columns` letters, broken at blanks where there are any.
fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let text: String = text.chars().take(LETTERS_MAX).collect();
    for word in text.split_whitespace() {
        let mut letters = word.chars().peekable();
        while letters.peek().is_some() {
            let length = line.chars().count();
            let word_left = letters.clone().count();
            let gap = usize::from(length > 0);
            if length + gap + word_left <= columns || length == 0 {
                if gap == 1 {
                    line.push(' ');
                }
                let room = columns.saturating_sub(length + gap).max(1);
                line.extend(letters.by_ref().take(room));
            }
            if letters.peek().is_some() {
                lines.push(std::mem::take(&mut line));
            }
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

fn hsv(hue: u32, saturation: u32, value: u32) -> [u32; 3] {
    let low = value * (255 - saturation) / 255;
    let rest = hue % 60;
    let falling = value - (value - low) * rest / 60;
    let rising = low + (value - low) * rest / 60;
    match hue / 60 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}

#[cfg(test)]
mod tests {
    use super::{Ink, Picture, wrapped};

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

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrapped("a cat in a hat", 6), ["a cat", "in a", "hat"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert!(wrapped("", 5).is_empty());
    }
}
