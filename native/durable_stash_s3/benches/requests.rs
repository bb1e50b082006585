//! Requests per second over HTTP, signed, by the server's own store: what a load test on it can ask for.
#![allow(clippy::unwrap_used)]
#![allow(missing_docs)]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use durable_stash_s3::{Options, Server};
use futures_util::future::join_all;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutMode, UpdateVersion};
use tokio::runtime::Runtime;

fn requests(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let server = runtime.block_on(Server::start(Options::default())).unwrap();
    server.store().create_bucket("bucket");
    let client = AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_bucket_name("bucket")
        .with_access_key_id("test")
        .with_secret_access_key("test")
        .with_allow_http(true)
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("requests");
    group.throughput(Throughput::Elements(WRITERS as u64)).warm_up_time(Duration::from_secs(1)).sample_size(20);
    group.bench_function("32 writers update a key of their own by If-Match, 2 KiB", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(updates(&client, rounds)));
    });
    group.bench_function("32 readers get a key of their own, 2 KiB", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(reads(&client, rounds)));
    });
    group.finish();
}

async fn updates(client: &AmazonS3, rounds: u64) -> Duration {
    let writers = (0..WRITERS).map(|writer| async move {
        let key = Path::from(format!("{writer}"));
        let mut put = client.put(&key, body(writer, u64::MAX)).await.unwrap();
        let start = Instant::now();
        for round in 0..rounds {
            let update = PutMode::Update(UpdateVersion { e_tag: put.e_tag, version: None });
            put = client.put_opts(&key, body(writer, round), update.into()).await.unwrap();
        }
        start.elapsed()
    });
    join_all(writers).await.into_iter().max().unwrap()
}

async fn reads(client: &AmazonS3, rounds: u64) -> Duration {
    let readers = (0..WRITERS).map(|reader| async move {
        let key = Path::from(format!("{reader}"));
        client.put(&key, body(reader, 0)).await.unwrap();
        let start = Instant::now();
        for _ in 0..rounds {
            client.get(&key).await.unwrap().bytes().await.unwrap();
        }
        start.elapsed()
    });
    join_all(readers).await.into_iter().max().unwrap()
}

fn body(writer: usize, round: u64) -> object_store::PutPayload {
    format!("{writer} {round} {:2000}", "").into_bytes().into()
}

const WRITERS: usize = 32;

criterion_group!(benches, requests);
criterion_main!(benches);
