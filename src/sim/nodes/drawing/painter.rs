//! Paints a picture row by row: the gradient, and the text in a dark band at the bottom.

use super::{Ink, Picture};
use font8x8::UnicodeFonts;

/// Characters of a text that are drawn.
const LETTERS_MAX: usize = 600;

/// Painter of the rows of a picture.
pub(crate) struct Painter<'a> {
    picture: &'a Picture,
    from: [u32; 3],
    to: [u32; 3],
    lines: Vec<String>,
    scale: u32,
    top: u32,
}

impl<'a> Painter<'a> {
    pub(crate) fn new(picture: &'a Picture, index: u32) -> Self {
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
                // The seed is kept: it is the last line.
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

    pub(crate) fn paint(&self, y: u32, row: &mut [u8]) {
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

    /// Draws white letters in the dark band.
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

/// Returns the bitmap of a character; a box if the font does not have it.
fn glyph(letter: char) -> [u8; 8] {
    font8x8::BASIC_FONTS
        .get(letter)
        .or_else(|| font8x8::LATIN_FONTS.get(letter))
        .or_else(|| font8x8::GREEK_FONTS.get(letter))
        .or_else(|| font8x8::HIRAGANA_FONTS.get(letter))
        .or_else(|| font8x8::BOX_FONTS.get(letter))
        .unwrap_or([0x7e, 0x42, 0x42, 0x42, 0x42, 0x42, 0x7e, 0])
}

/// Wraps a text into lines of at most `columns` characters, at spaces if possible.
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
    use super::wrapped;

    #[test]
    fn lines_break_at_blanks() {
        assert_eq!(wrapped("a cat in a hat", 6), ["a cat", "in a", "hat"]);
        assert_eq!(wrapped("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert!(wrapped("", 5).is_empty());
    }
}
