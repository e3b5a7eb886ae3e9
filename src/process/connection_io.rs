//! Bytes of one connection: ends it when a write makes no progress, and closes it without cutting off the last
//! response.

use super::connection_limit::Slot;
use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    runtime::Handle,
    time::{Sleep, sleep, timeout},
};

/// Time during which the rest of a request is read and discarded after the response, so that the client can read it.
const LINGER: Duration = Duration::from_secs(2);

/// State shared by the parts of a connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    begun: AtomicBool,
    unread: AtomicBool,
}

impl ConnectionState {
    /// Records that a whole request head has arrived.
    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Records that a request was answered without reading its whole body (413, 401, …).
    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }
}

/// The stream with its slot. Both are kept in an upgraded connection.
#[derive(Debug)]
pub(super) struct Io {
    stream: Option<TcpStream>,
    slot: Option<Slot>,
    state: Arc<ConnectionState>,
    write_stall: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Io {
    pub(super) fn new(stream: TcpStream, slot: Slot, state: Arc<ConnectionState>, write_stall: Duration) -> Self {
        Self { stream: Some(stream), slot: Some(slot), state, write_stall, stalled: None }
    }

    fn with_stream<T>(&mut self, poll: impl FnOnce(Pin<&mut TcpStream>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.stream {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Fails a write that stalls: a client that never reads would hold its connection and the response forever.
    fn unless_stalled<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let write_stall = self.write_stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(write_stall)));
        stalled.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Io {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_read(cx, into))
    }
}

impl AsyncWrite for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.with_stream(|stream| stream.poll_write(cx, bytes));
        self.unless_stalled(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.with_stream(|stream| stream.poll_write_vectored(cx, bytes));
        self.unless_stalled(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_stream(|stream| stream.poll_shutdown(cx))
    }
}

impl Drop for Io {
    fn drop(&mut self) {
        let (Some(stream), slot) = (self.stream.take(), self.slot.take()) else { return };
        if self.state.unread.load(Ordering::Relaxed)
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async move {
                linger(stream).await;
                drop(slot);
            });
        }
    }
}

/// Shuts down the write side, then reads until the client has closed too. Closing with unread bytes would send a reset,
/// which can destroy the response in flight (RFC 9112 §9.6).
pub(super) async fn linger(mut stream: TcpStream) {
    let read_out = async {
        stream.shutdown().await?;
        let mut discarded = [0; 8192];
        while stream.read(&mut discarded).await? > 0 {}
        io::Result::Ok(())
    };
    // The stream is closed in any case.
    let _ended = timeout(LINGER, read_out).await;
}
