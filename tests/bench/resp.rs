//! A minimal Redis connection: commands in, replies counted or read as text.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

pub struct Redis {
    stream: BufReader<UnixStream>,
}

impl Redis {
    pub fn connect(socket: &Path) -> Self {
        Self { stream: BufReader::new(UnixStream::connect(socket).unwrap()) }
    }

    /// Sends commands in one write and reads a simple, integer or bulk reply for each. Returns the last one.
    pub fn ask(&mut self, commands: &[Vec<String>]) -> String {
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend(format!("*{}\r\n", words.len()).into_bytes());
            for word in words {
                bytes.extend(format!("${}\r\n{word}\r\n", word.len()).into_bytes());
            }
        }
        self.stream.get_mut().write_all(&bytes).unwrap();
        let mut last = String::new();
        for _ in commands {
            last = self.reply();
        }
        last
    }

    fn reply(&mut self) -> String {
        let mut line = String::new();
        self.stream.read_line(&mut line).unwrap();
        let line = line.trim_end();
        assert!(!line.starts_with('-'), "{line}");
        let Some(length) = line.strip_prefix('$') else { return line[1..].to_owned() };
        let Ok(length) = length.parse::<usize>() else { return String::new() };
        let mut bulk = vec![0; length + 2];
        self.stream.read_exact(&mut bulk).unwrap();
        bulk.truncate(length);
        String::from_utf8(bulk).unwrap()
    }
}

pub fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
