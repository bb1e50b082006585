//! `durable-stash-s3`: the server as a program, for tests that are none.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use durable_stash_s3::{Options, Plan, Server, Store};
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{Signal, SignalKind, signal};

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("durable-stash-s3: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = String>) -> Result<(), String> {
    let Some(Invocation { options, dump, until_stdin_closes }) = Invocation::read(arguments)? else {
        print!("{USAGE}");
        return Ok(());
    };
    let runtime = tokio::runtime::Runtime::new().map_err(|error| format!("cannot start threads: {error}"))?;
    let ended = runtime.block_on(async {
        let port = options.port;
        let server = Server::start(options).await.map_err(|error| format!("cannot listen on port {port}: {error}"))?;
        // From the line on it can be told to stop.
        let terminate = signal(SignalKind::terminate()).map_err(|error| error.to_string())?;
        // Whoever started this waits for the line; if it is gone, so is the purpose.
        writeln!(io::stdout(), "listening on {}", server.endpoint()).map_err(|error| error.to_string())?;
        told_to_stop(terminate, until_stdin_closes).await.map_err(|error| error.to_string())?;
        let store = server.store().clone();
        server.stop().await;
        match dump {
            Some(file) => write(&store, &file).map_err(|error| format!("cannot write {}: {error}", file.display())),
            None => Ok(()),
        }
    });
    // Its standard input may be open for ever, and a thread may be reading it.
    runtime.shutdown_background();
    ended
}

async fn told_to_stop(mut terminate: Signal, until_stdin_closes: bool) -> io::Result<()> {
    tokio::select! {
        stopped = tokio::signal::ctrl_c() => stopped,
        _ = terminate.recv() => Ok(()),
        closed = stdin_closed(), if until_stdin_closes => closed,
    }
}

async fn stdin_closed() -> io::Result<()> {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while stdin.read(&mut ignored).await? > 0 {}
    Ok(())
}

fn write(store: &Store, file: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for version in store.log(0) {
        out.write_all(&version.to_json_line())?;
    }
    out.flush()
}

struct Invocation {
    options: Options,
    dump: Option<PathBuf>,
    until_stdin_closes: bool,
}

impl Invocation {
    /// None if help is all that is wanted.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut this = Self { options: Options::default(), dump: None, until_stdin_closes: false };
        while let Some(option) = arguments.next() {
            let mut value = || arguments.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--port" => {
                    let port = value()?;
                    this.options.port = port.parse().map_err(|_| format!("{port} is not a port"))?;
                }
                "--plan" => {
                    let file = PathBuf::from(value()?);
                    let json =
                        std::fs::read(&file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
                    this.options.plan = Plan::from_json(&json)?;
                    this.options.plan_file = Some(file);
                }
                "--bucket" => this.options.store.create_bucket(&value()?),
                "--access-key" => this.options.access_key = value()?,
                "--secret-key" => this.options.secret_key = value()?,
                "--dump" => this.dump = Some(PathBuf::from(value()?)),
                "--until-stdin-closes" => this.until_stdin_closes = true,
                "--help" | "-h" => return Ok(None),
                _ => return Err(format!("there is no option {option}; --help tells those that there are")),
            }
        }
        Ok(Some(this))
    }
}

const USAGE: &str = "\
An S3 server on 127.0.0.1, in memory, that misbehaves as planned and forgets no version.

  --port PORT            where to listen; 0, the default, takes a free port
  --plan FILE            the fault plan, in JSON; POST /_plan/reload reads it again
  --bucket NAME          a bucket to begin with; may be given more than once
  --access-key KEY       what requests must be signed with; `test` if not given
  --secret-key KEY       its secret; `test` if not given
  --dump FILE            when it is stopped, writes every version there, one JSON object a line
  --until-stdin-closes   stops when its standard input ends, as it does when its parent dies

When it listens, it says so on one line: `listening on http://127.0.0.1:PORT`. SIGINT and SIGTERM stop it.
";
