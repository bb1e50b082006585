//! An engine, the store that it writes to, and the raw client of the same store.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use durable_stash_engine::backend::{self, MemoryStore};
use durable_stash_engine::store::Store;
use durable_stash_engine::{
    Backend, Config, DrainReport, Engine, Handle, Json, Key, Mount, Open, S3Config, Secret, Slot, TabId, Unobserved,
    View, Vsn,
};
use tokio::runtime::Runtime;

/// The store of a world.
pub(crate) enum Kind<'a> {
    /// In this process; requests take no time.
    Memory,
    /// The S3 server of this project in a process of its own, with a latency.
    S3 { server: &'a Path, latency: Duration },
}

pub(crate) struct World {
    pub(crate) engine: Engine,
    /// The same client as the engine's, with connections of its own.
    pub(crate) raw: Arc<dyn Store>,
    pub(crate) runtime: Runtime,
    config: Config,
    _server: Option<Server>,
}

impl World {
    pub(crate) fn new(kind: &Kind<'_>, change: impl FnOnce(&mut Config)) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let (backend, server) = match kind {
            Kind::Memory => (Backend::Memory(MemoryStore::new()), None),
            Kind::S3 { server, latency } => {
                let server = Server::start(server, *latency)?;
                let s3 = S3Config {
                    bucket: BUCKET.to_owned(),
                    region: Some("us-east-1".to_owned()),
                    endpoint: Some(server.endpoint.clone()),
                    access_key_id: Some("test".to_owned()),
                    secret_access_key: Some("test".to_owned()),
                    allow_http: true,
                    ..S3Config::default()
                };
                (Backend::S3(s3), Some(server))
            }
        };
        let secret = Secret::new([7; 32]).map_err(|error| error.to_string())?;
        let mut config = Config::new(backend, vec![secret]);
        config.sweep_every_ms = 0;
        change(&mut config);
        let raw = runtime.block_on(async { backend::open(&config) }).map_err(|error| error.to_string())?;
        let engine = Self::start(&config, &runtime)?;
        Ok(Self { engine, raw, runtime, config, _server: server })
    }

    /// Another engine on the same store, in place of this one: as after a restart, it knows nothing. Returns how long
    /// the old one took to save what it held, and what became of that.
    pub(crate) fn restart(&mut self) -> Result<(Duration, DrainReport), String> {
        let (sender, drained) = mpsc::channel();
        let began = Instant::now();
        self.engine.drain(
            Duration::from_secs(60),
            Box::new(move |report| {
                // Nobody may wait any more.
                let _ = sender.send(report);
            }),
        );
        let report = drained.recv().map_err(|_| "the engine did not drain".to_owned())?;
        let took = began.elapsed();
        self.engine = Self::start(&self.config, &self.runtime)?;
        Ok((took, report))
    }

    fn start(config: &Config, runtime: &Runtime) -> Result<Engine, String> {
        let engine = Engine::start(config.clone(), runtime.handle().clone(), Arc::new(Unobserved))
            .map_err(|error| error.to_string())?;
        // The probe is not what is measured.
        let handle = open(&engine, "the first session of all")?;
        stash(&handle, "ready", "true")?;
        flush(&handle)?;
        Ok(engine)
    }
}

/// The one tab of a browser session.
pub(crate) fn open(engine: &Engine, sid: &str) -> Result<Handle, String> {
    open_tab(engine, sid, "a tab", false)
}

/// One tab of several. `minted`: the request that opens it has made the sid.
pub(crate) fn open_tab(engine: &Engine, sid: &str, tab: &str, minted: bool) -> Result<Handle, String> {
    let slot = Slot { view: View::new("Elixir.MyAppWeb.OrderLive"), vsn: Vsn(1), tab: TabId::new(tab) };
    let open = Open { sid, secrets: None, slot, mount: Mount::Fresh, epoch: None, stores_tab: false, minted };
    engine.open(open).map_err(|error| error.to_string())
}

pub(crate) fn stash(handle: &Handle, key: &str, json: &str) -> Result<(), String> {
    let pairs = vec![(Key::new(key), Json::from_encoded(json))];
    handle.stash(pairs, vec![]).map(|_| ()).map_err(|error| error.to_string())
}

/// Waits until everything is saved.
pub(crate) fn flush(handle: &Handle) -> Result<(), String> {
    let (sender, answer) = mpsc::channel();
    handle.flush(Box::new(move |result| drop(sender.send(result))));
    answer.recv().map_err(|_| "the engine is gone".to_owned())?.map_err(|error| error.to_string())
}

/// The same for a task.
pub(crate) async fn saved(handle: &Handle) -> Result<(), String> {
    let (sender, answer) = tokio::sync::oneshot::channel();
    handle.flush(Box::new(move |result| drop(sender.send(result))));
    answer.await.map_err(|_| "the engine is gone".to_owned())?.map_err(|error| error.to_string())
}

/// What a LiveView gets back of one key.
pub(crate) fn recovered(handle: &Handle, key: &str) -> Result<Option<String>, String> {
    let (sender, answer) = mpsc::channel();
    handle.recover(Box::new(move |outcome| drop(sender.send(outcome))));
    let read = answer.recv().map_err(|_| "the engine is gone".to_owned())?.map_err(|error| error.to_string())?;
    let value = |found: durable_stash_engine::Found| {
        let entry = found.session.into_iter().find(|(name, _)| name.as_str() == key);
        entry.map(|(_, json)| json.as_str().to_owned())
    };
    Ok(read.found.and_then(value))
}

/// Waits at most a minute for what comes by itself.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let began = Instant::now();
    while !holds() {
        if began.elapsed() > Duration::from_secs(60) {
            return Err(format!("a minute went by, and still not {what}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// The program `durable-stash-s3`. It ends with its standard input, and so with this process.
struct Server {
    child: Child,
    endpoint: String,
    _plan: tempfile::NamedTempFile,
}

impl Server {
    fn start(program: &Path, latency: Duration) -> Result<Self, String> {
        let problem = |error: std::io::Error| format!("cannot start {}: {error}", program.display());
        let mut plan = tempfile::NamedTempFile::new().map_err(problem)?;
        if latency > Duration::ZERO {
            let delay = latency.as_millis();
            write!(plan, r#"{{"rules":[{{"name":"latency","fault":{{"delay_before_ms":[{delay},{delay}]}}}}]}}"#)
                .map_err(problem)?;
        } else {
            write!(plan, r#"{{"rules":[]}}"#).map_err(problem)?;
        }
        let mut child = Command::new(program)
            .args(["--bucket", BUCKET, "--until-stdin-closes", "--plan"])
            .arg(plan.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(problem)?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line).map_err(problem)?;
        }
        match line.trim().strip_prefix("listening on ") {
            Some(endpoint) => Ok(Self { child, endpoint: endpoint.to_owned(), _plan: plan }),
            None => Err(format!("{} said {line:?} in place of where it listens", program.display())),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

const BUCKET: &str = "bench";
