//! Alone in its process, so that it can count what the process holds.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::time::Duration;

use durable_stash_engine::{Backend, Config};
use support::http::{Act, Server};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fault_45_a_thousand_starts_and_stops_leave_no_task_and_no_file_open() {
    let directory = directory();
    let server = Server::start(|_| Act::Serve).await;
    let configs =
        [(config(Backend::Disk { path: directory.path().to_owned() }), 150), (server.config(), 100), (memory().1, 750)];
    for (config, _) in &configs {
        run_once(config, 0).await;
    }
    settle().await;
    let before = held();
    for (config, times) in &configs {
        for n in 0..*times {
            run_once(config, n).await;
        }
    }
    let settled = || {
        let (now, before) = (held(), &before);
        now.tasks <= before.tasks && now.files <= before.files
    };
    until("everything is given back", settled).await;
}

async fn run_once(config: &Config, n: u64) {
    let mut config = config.clone();
    config.sweep_every_ms = 60_000;
    let engine = start(config);
    let handle = fresh(&engine, &format!("sid {}", n % 7));
    stash(&handle, "count", n);
    match n % 3 {
        0 => assert_eq!(drain(&engine, Duration::from_secs(5)).await.unsaved_ops, 0),
        1 => drop(engine), // with a write open and a handle left
        _ => drop((handle, engine)),
    }
}

#[derive(Debug)]
struct Held {
    tasks: usize,
    files: usize,
}

fn held() -> Held {
    Held {
        tasks: tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        files: std::fs::read_dir("/proc/self/fd").unwrap().count(),
    }
}

/// What ends on its own has ended.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(500)).await;
}
