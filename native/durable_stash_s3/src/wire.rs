//! A TCP connection that can be broken off from within a request.
//!
//! The HTTP layer owns the socket while it serves a connection, and cannot be told to reset it. So the socket is wrapped:
//! whoever answers a request holds the [`End`] of its connection; when it is called, the task that drives the connection
//! drops it, HTTP layer and all, and the wrapper decides on its way out whether the peer sees a FIN or an RST.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// RST: what is not sent yet is lost.
    Reset,
    /// FIN.
    Close,
}

/// Ends one connection. Clones end the same one.
#[derive(Clone, Default)]
pub(crate) struct End(Arc<Inner>);

#[derive(Default)]
struct Inner {
    how: OnceLock<Ending>,
    called: Notify,
}

impl End {
    /// Ends the connection; the first call decides how.
    pub(crate) fn call(&self, how: Ending) {
        let _ = self.0.how.set(how);
        self.0.called.notify_one();
    }

    /// Returns when the connection is to be dropped. One task may wait: the one that drives the connection.
    pub(crate) async fn called(&self) {
        self.0.called.notified().await;
    }
}

/// The socket.
pub(crate) struct Wire {
    stream: TcpStream,
    end: End,
}

impl Wire {
    pub(crate) fn new(stream: TcpStream, end: End) -> Self {
        Self { stream, end }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.end.0.how.get() == Some(&Ending::Reset) {
            // Closing a socket that must not linger sends an RST. It fails where the peer was first: just as well.
            let _ = self.stream.set_zero_linger();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, from)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
