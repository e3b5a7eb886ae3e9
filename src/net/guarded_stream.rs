//! Stream of a server that is not trusted: it lets other tasks run, and ends when an answer does not begin.
//!
//! Parsers of HTTP and WebSocket read on within one poll while bytes arrive that make no message: interim answers (1xx),
//! empty frames. A server that sends them without end would hold a thread of the runtime.

use hyper_util::client::legacy::connect::{Connected, Connection};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are read before other tasks run.
pub(crate) const BYTES_PER_POLL: usize = 64 << 10;
/// Bytes of an answer until its head has ended, interim answers included.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Length of `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// A stream whose reads are interrupted, and which may count the bytes of heads.
#[derive(Debug)]
pub(crate) struct GuardedStream<S> {
    inner: S,
    /// Bytes read since other tasks could run.
    read: usize,
    head: Option<Head>,
}

/// Head of the answer that is awaited.
#[derive(Debug, Default)]
struct Head {
    status: Vec<u8>,
    bytes: usize,
    /// Number of line ends in a row.
    line_ends: usize,
    has_ended: bool,
}

impl<S> GuardedStream<S> {
    /// Guards a stream of any protocol.
    pub(crate) const fn new(inner: S) -> Self {
        Self { inner, read: 0, head: None }
    }

    /// Guards a stream of HTTP/1 answers: the head of each is limited.
    pub(crate) fn of_answers(inner: S) -> Self {
        Self { inner, read: 0, head: Some(Head::default()) }
    }

    /// Takes note of a request, which another answer follows.
    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(1..)), Some(head)) = (written, &mut self.head) {
            *head = Head::default();
        }
    }
}

impl Head {
    /// Reads on in the head.
    ///
    /// # Errors
    /// It is too long.
    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            if self.has_ended {
                return Ok(());
            }
            self.bytes += 1;
            self.read_byte(byte);
        }
        if self.bytes > HEAD_BYTES_MAX && !self.has_ended {
            let message = format!("more than {HEAD_BYTES_MAX} bytes before the head of the answer ended");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        Ok(())
    }

    fn read_byte(&mut self, byte: u8) {
        match byte {
            // Empty lines before the head.
            b'\r' | b'\n' if self.status.is_empty() => return,
            b'\r' => {}
            b'\n' => self.line_ends += 1,
            _ => self.line_ends = 0,
        }
        if self.status.len() < STATUS_BYTES {
            self.status.push(byte);
        }
        if self.line_ends == 2 {
            let is_interim = self.status.get(9) == Some(&b'1') && !self.status.ends_with(b"101");
            (self.has_ended, self.line_ends) = (!is_interim, 0);
            self.status.clear();
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.read >= BYTES_PER_POLL {
            this.read = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let answer = Pin::new(&mut this.inner).poll_read(context, buffer);
        if answer.is_pending() {
            this.read = 0;
        }
        ready!(answer)?;
        let got = buffer.filled().get(before..).unwrap_or_default();
        this.read += got.len();
        Poll::Ready(this.head.as_mut().map_or(Ok(()), |head| head.read(got)))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.note_written(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(context, slices);
        self.note_written(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl<S> Connection for GuardedStream<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test says by panicking")]
mod tests {
    use super::{BYTES_PER_POLL, GuardedStream, HEAD_BYTES_MAX, Head};
    use std::{future::poll_fn, pin::Pin, task::Poll};
    use tokio::io::{AsyncRead as _, ReadBuf, repeat};

    #[tokio::test]
    async fn a_stream_without_end_lets_other_tasks_run() {
        let mut stream = GuardedStream::new(repeat(0));
        let read = poll_fn(|context| {
            let mut read = 0;
            loop {
                let mut bytes = [0; 1_000];
                let mut buffer = ReadBuf::new(&mut bytes);
                match Pin::new(&mut stream).poll_read(context, &mut buffer) {
                    Poll::Ready(result) => result.unwrap(),
                    Poll::Pending => return Poll::Ready(read),
                }
                read += buffer.filled().len();
                assert!(read < 10 * BYTES_PER_POLL, "one poll does not end");
            }
        });
        assert!((BYTES_PER_POLL..BYTES_PER_POLL + 1_000).contains(&read.await));
    }

    #[test]
    fn interim_answers_belong_to_the_head_and_the_body_does_not() {
        for interim in
            ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 100 \n\n", "HTTP/1.1 103 E\r\nLink: a\r\n\r\n", "\r\n"]
        {
            let mut head = Head::default();
            head.read(interim.as_bytes()).unwrap();
            assert!(!head.has_ended, "{interim:?}");
            assert!(head.read(interim.repeat(HEAD_BYTES_MAX).as_bytes()).is_err(), "{interim:?}");
        }
        let mut head = Head::default();
        for part in ["HTTP/1.1 102 P\r\n\r", "\nHTTP/1", ".1 200 OK\r\nA: 1\r\n\r\n", &"b".repeat(10 * HEAD_BYTES_MAX)]
        {
            head.read(part.as_bytes()).unwrap();
        }
        assert!(head.has_ended);
        let mut upgrade = Head::default();
        upgrade.read(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n").unwrap();
        assert!(upgrade.has_ended);
    }
}
