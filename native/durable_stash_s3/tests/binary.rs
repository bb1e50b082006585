//! The program: how it is started, changed at run time and stopped.
#![allow(clippy::unwrap_used)]

mod support;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use durable_stash_s3::{Plan, Server};
use hyper::Method;
use support::exchange;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

struct Program {
    child: Child,
    address: SocketAddr,
}

async fn start(arguments: &[&str]) -> Program {
    let mut child = command(arguments).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).await.unwrap();
    let address = line.trim_end().strip_prefix("listening on http://").unwrap().parse().unwrap();
    Program { child, address }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_durable-stash-s3"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Program {
    async fn status(&self, method: Method, target: &str, body: &str) -> u16 {
        exchange(self.address, &method, target, "", body).await.status()
    }

    fn terminate(&self) {
        let kill = std::process::Command::new("kill").arg(self.child.id().unwrap().to_string()).status().unwrap();
        assert!(kill.success());
    }

    async fn exit_code(&mut self) -> Option<i32> {
        timeout(Duration::from_secs(5), self.child.wait()).await.unwrap().unwrap().code()
    }
}

#[tokio::test]
async fn it_says_where_it_listens_and_has_the_buckets_it_was_given() {
    let program = start(&["--port", "0", "--bucket", "one", "--bucket", "two"]).await;
    assert_ne!(program.address.port(), 0);
    assert_eq!(program.status(Method::HEAD, "/one", "").await, 200);
    assert_eq!(program.status(Method::HEAD, "/two", "").await, 200);
    assert_eq!(program.status(Method::HEAD, "/three", "").await, 404);
}

#[tokio::test]
async fn its_plan_comes_from_a_file_and_is_changed_at_run_time() {
    let file = temporary("plan");
    std::fs::write(&file, r#"{"rules":[{"fault":{"before":"slow_down"}}]}"#).unwrap();
    let program = start(&["--bucket", "bucket", "--plan", file.to_str().unwrap()]).await;
    let head = async || program.status(Method::HEAD, "/bucket", "").await;
    assert_eq!(head().await, 503);
    assert_eq!(program.status(Method::DELETE, "/_plan", "").await, 204);
    assert_eq!(head().await, 200);
    let conflict = r#"{"rules":[{"fault":{"before":"conflict"}}]}"#;
    assert_eq!(program.status(Method::PUT, "/_plan", conflict).await, 204);
    assert_eq!(head().await, 409);
    let told = exchange(program.address, &Method::GET, "/_plan", "", "").await;
    assert_eq!(Plan::from_json(&told.body).unwrap(), Plan::from_json(conflict.as_bytes()).unwrap());
    std::fs::write(&file, r#"{"rules":[{"fault":{"before":"internal_error"}}]}"#).unwrap();
    assert_eq!(program.status(Method::POST, "/_plan/reload", "").await, 204);
    assert_eq!(head().await, 500);
    std::fs::write(&file, r#"{"rules":[{"fault":{"before":"unheard_of"}}]}"#).unwrap();
    let refused = exchange(program.address, &Method::POST, "/_plan/reload", "", "").await;
    assert!(refused.status() == 400 && refused.text().contains("unheard_of"), "{refused:?}");
    assert_eq!(head().await, 500, "the plan before stays in force");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn it_stops_on_sigterm_and_leaves_its_log() {
    let file = temporary("dump");
    let mut program = start(&["--bucket", "bucket", "--dump", file.to_str().unwrap()]).await;
    let client = object_store::aws::AmazonS3Builder::new()
        .with_endpoint(format!("http://{}", program.address))
        .with_bucket_name("bucket")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_allow_http(true)
        .build()
        .unwrap();
    object_store::ObjectStoreExt::put(&client, &"k".into(), "body".into()).await.unwrap();
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    let dump = std::fs::read_to_string(&file).unwrap();
    assert!(dump.lines().count() == 1 && dump.contains(r#""commit":1,"bucket":"bucket","key":"k""#), "{dump}");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn it_stops_when_its_parent_lets_go_of_its_standard_input() {
    let mut program = start(&["--until-stdin-closes"]).await;
    assert_eq!(program.status(Method::GET, "/_counts", "").await, 200);
    drop(program.child.stdin.take());
    assert_eq!(program.exit_code().await, Some(0));
}

#[tokio::test]
async fn it_stops_on_sigterm_although_its_standard_input_is_open() {
    let mut program = start(&["--until-stdin-closes"]).await;
    // Waiting for a child closes what it still holds.
    let stdin = program.child.stdin.take();
    program.terminate();
    assert_eq!(program.exit_code().await, Some(0));
    drop(stdin);
}

#[tokio::test]
async fn what_it_cannot_do_it_says_in_a_sentence() {
    let taken = Server::start(durable_stash_s3::Options::default()).await.unwrap();
    let port = taken.address().port().to_string();
    for (arguments, sentence) in [
        (&["--port", "x"][..], "x is not a port"),
        (&["--port"], "--port needs a value"),
        (&["--port", port.as_str()], "cannot listen on port"),
        (&["--what"], "there is no option --what"),
        (&["--plan", "no/such/file"], "cannot read no/such/file"),
    ] {
        let output = command(arguments).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && said.contains(sentence), "{said}");
    }
    let help = command(&["--help"]).output().await.unwrap();
    assert!(help.status.success() && String::from_utf8(help.stdout).unwrap().contains("--until-stdin-closes"));
}

fn temporary(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("durable-stash-s3-{}-{name}.json", std::process::id()))
}
