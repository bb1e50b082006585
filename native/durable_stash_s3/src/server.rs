//! The server: a listener on the loopback and its connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::access::{KeyPair, SignedOrNewBucket};
use crate::connection::{self, Peer};
use crate::control::Control;
use crate::faults::Faults;
use crate::plan::Plan;
use crate::service::Service;
use crate::store::Store;
use crate::trace::Trace;

/// How a server is started.
pub struct Options {
    /// The port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// The access key that requests must be signed with.
    pub access_key: String,
    /// Its secret.
    pub secret_key: String,
    /// The objects. Given the store of an earlier server, they are still there.
    pub store: Store,
    /// What goes wrong from the beginning.
    pub plan: Plan,
    /// What `POST /_plan/reload` reads.
    pub plan_file: Option<PathBuf>,
}

impl Default for Options {
    /// A free port, the key pair `test` and `test`, an empty store, no faults.
    fn default() -> Self {
        Self {
            port: 0,
            access_key: "test".into(),
            secret_key: "test".into(),
            store: Store::new(),
            plan: Plan::default(),
            plan_file: None,
        }
    }
}

/// A running server. It stops when this is dropped.
pub struct Server {
    address: SocketAddr,
    store: Store,
    faults: Faults,
    trace: Trace,
    accepting: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Server {
    /// Starts a server on the present tokio runtime.
    ///
    /// # Errors
    /// If the port cannot be had.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let Options { access_key, secret_key, store, plan, plan_file, .. } = options;
        let (faults, trace) = (Faults::new(plan), Trace::default());
        let mut s3 = S3ServiceBuilder::new(Service(store.clone()));
        s3.set_auth(KeyPair { access_key, secret_key });
        s3.set_access(SignedOrNewBucket);
        let control = Control { store: store.clone(), faults: faults.clone(), trace: trace.clone(), plan_file };
        let peer = Arc::new(Peer { s3: s3.build(), faults: faults.clone(), trace: trace.clone(), control });
        let accepting = tokio::spawn(accept(listener, peer));
        Ok(Self { address, store, faults, trace, accepting })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The objects and their versions.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What goes wrong.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// What came in and what went out.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Stops listening and drops every connection. A request that was taken in whole still does to the store what it
    /// came for.
    pub async fn stop(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }
}

async fn accept(listener: TcpListener, peer: Arc<Peer>) {
    // Dropped with this task, and its connections with it.
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                connections.spawn(connection::serve(peer.clone(), stream));
            }
            // Out of file descriptors, or the peer has gone already: neither is for ever.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
        while connections.try_join_next().is_some() {}
    }
}
