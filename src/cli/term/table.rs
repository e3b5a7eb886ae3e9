//! Tables for people: columns as wide as their content, with Chinese characters counted as two columns.

use super::output::{self, Color};
use crate::cli::error::Error;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Space between two columns.
const GAP: &str = "  ";

/// A table; the last column is cut at the edge of the terminal.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<(String, Color)>>,
}

impl Table {
    /// Creates an empty table with these columns.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    /// Appends a row.
    pub(crate) fn push(&mut self, cells: impl IntoIterator<Item = (String, Color)>) {
        self.rows.push(cells.into_iter().map(|(text, color)| (output::sanitize(&text).into_owned(), color)).collect());
    }

    /// Prints the table, with its head only if `with_head`.
    pub(crate) fn print(&self, with_head: bool) -> Result<(), Error> {
        let head = usize::from(!with_head);
        self.lines(output::columns(), output::has_colors())
            .iter()
            .skip(head)
            .try_for_each(|line| output::print_line(line))
    }

    /// Formats the head and the rows.
    pub(crate) fn lines(&self, columns: Option<usize>, has_colors: bool) -> Vec<String> {
        let widths: Vec<usize> = (0..self.head.len())
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.width());
                cells.max().unwrap_or(0).max(self.head[column].width())
            })
            .collect();
        let head: Vec<(String, Color)> = self.head.iter().map(|&name| (name.to_owned(), Color::Faint)).collect();
        std::iter::once(&head).chain(&self.rows).map(|row| line(row, &widths, columns, has_colors)).collect()
    }
}

fn line(row: &[(String, Color)], widths: &[usize], columns: Option<usize>, has_colors: bool) -> String {
    let (mut line, mut used) = (String::new(), 0);
    for (at, (text, color)) in row.iter().enumerate() {
        let is_last = at + 1 == row.len();
        let text = match columns {
            Some(columns) => truncate(text, columns.saturating_sub(used)),
            None => text.clone(),
        };
        let pad = if is_last { 0 } else { widths[at].saturating_sub(text.width()) };
        used += text.width() + pad + GAP.len();
        line.push_str(&color.paint(&text, has_colors && !text.is_empty()));
        if !is_last {
            line.push_str(&" ".repeat(pad));
            line.push_str(GAP);
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// Shortens a text to at most `columns`, ending in `…` if anything was cut off.
pub(crate) fn truncate(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let (mut kept, mut used) = (String::new(), 0);
    for letter in text.chars() {
        let width = letter.width().unwrap_or(0);
        if used + width + 1 > columns {
            break;
        }
        kept.push(letter);
        used += width;
    }
    if columns > 0 {
        kept.push('…');
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::{Color, Table, truncate};

    #[test]
    fn columns_are_aligned_in_chinese_too() {
        let mut table = Table::new(&["NAME", "STATUS", "WHY"]);
        table.push([
            ("主服务器".to_owned(), Color::Plain),
            ("up".to_owned(), Color::Good),
            (String::new(), Color::Plain),
        ]);
        table.push([
            ("a".to_owned(), Color::Plain),
            ("down".to_owned(), Color::Bad),
            ("no answer".to_owned(), Color::Plain),
        ]);
        let lines = table.lines(None, false);
        assert_eq!(lines, ["NAME      STATUS  WHY", "主服务器  up", "a         down    no answer"]);
        assert_eq!(table.lines(Some(22), false)[2], "a         down    no …");
        assert!(table.lines(None, true)[2].contains("\x1b[31mdown\x1b[0m"));
    }

    #[test]
    fn a_wide_character_is_never_split() {
        assert_eq!(truncate("主服务器", 8), "主服务器");
        assert_eq!(truncate("主服务器", 6), "主服…");
        assert_eq!(truncate("abc", 0), "");
    }
}
