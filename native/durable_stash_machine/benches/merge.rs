//! What a commit costs in CPU: the fold of a batch, its merge into the document, and the object's bytes both ways.
//!
//! Of documents with 1, 30 and 500 keys in one slice, and as many in a tab of it; values of about 30 bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use durable_stash_machine::batch::{Batch, Stamp};
use durable_stash_machine::document::{Applied, Document, Header, succeed};
use durable_stash_machine::format::{decode, encode};
use durable_stash_machine::merge::merge;
use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{
    ClaimId, Command, Json, Key, Now, Policy, Session, Slot, Start, TabId, Values, View, Vsn, WriteId, WriterId,
};

const SIZES: [usize; 3] = [1, 30, 500];
const WALL: u64 = 1_750_000_000_000;

criterion_group!(benches, fold_a_burst, merge_a_batch, write_the_object, read_the_object, commit_a_stash);
criterion_main!(benches);

/// Ten stashes of every key, folded into one batch.
fn fold_a_burst(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("fold_a_burst_of_ten_stashes");
    for keys in SIZES {
        group.throughput(Throughput::Elements(10 * 2 * keys as u64));
        let stash = entries(keys, 1);
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter_batched(
                || vec![stash.clone(); 10],
                |stashes| {
                    let mut batch = Batch::default();
                    for (stamp, stash) in stashes.into_iter().enumerate() {
                        let edit = batch.claim(ClaimId(1), &slot(), Epoch::at(WALL), true);
                        edit.edit(Stamp(stamp as u64), stash.clone(), stash);
                    }
                    batch
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// One changed key in each part of the document, as a LiveView's event leaves behind.
fn merge_a_batch(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("merge_one_changed_key_of");
    for keys in SIZES {
        let (document, change, policy) = (document(keys), batch(1, 2), Policy::default());
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter_batched(
                || document.clone(),
                |mut document| {
                    merge(&mut document, &change, WALL, &policy);
                    document
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

fn write_the_object(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for keys in SIZES {
        let (header, document) = (header(), document(keys));
        group.throughput(Throughput::Bytes(encode(&header, &document).len() as u64));
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter(|| encode(black_box(&header), black_box(&document)));
        });
    }
    group.finish();
}

fn read_the_object(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode");
    for keys in SIZES {
        let bytes = encode(&header(), &document(keys));
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            bencher.iter(|| decode(black_box(&bytes)).unwrap());
        });
    }
    group.finish();
}

/// The whole way through a session: a stash of one key, its PUT, and the store's answer.
fn commit_a_stash(criterion: &mut Criterion) {
    use durable_stash_machine::{ETag, Effect, Event, PutOutcome};
    let mut group = criterion.benchmark_group("commit_one_changed_key_of");
    for keys in SIZES {
        group.bench_function(BenchmarkId::from_parameter(keys), |bencher| {
            let mut session =
                Session::new(WriterId(1), Arc::new(Policy::default()), Start { minted: true, ..Start::default() });
            let (mut op, mut now) = (0, Now { mono: 0, wall: WALL });
            let mut stash = |session: &mut Session, keys: usize| {
                op += 1;
                now.mono += 1;
                let entries = |seed| {
                    let some = |(key, json): (Key, Option<Json>)| Some((key, json?));
                    entries(keys, seed).into_iter().filter_map(some).collect()
                };
                let (slot, session_keys, tab) = (slot(), entries(op), entries(op + 1));
                session.command(
                    now,
                    Command::Merge {
                        claim: ClaimId(1),
                        slot,
                        op,
                        session: session_keys,
                        tab,
                        shared: vec![],
                        defaults: Values::default(),
                    },
                );
                while let Some(effect) = session.poll_effect() {
                    let Effect::Put { attempt, body, .. } = effect else { continue };
                    black_box(body);
                    let outcome = PutOutcome::Written(ETag::new(op.to_string()));
                    session.handle(now, Event::Put { attempt, outcome });
                }
                while session.poll_notice().is_some() {}
            };
            stash(&mut session, keys);
            bencher.iter(|| stash(&mut session, 1));
        });
    }
    group.finish();
}

fn batch(keys: usize, seed: u64) -> Batch {
    let mut batch = Batch::default();
    let edit = batch.claim(ClaimId(1), &slot(), Epoch::at(WALL), true);
    edit.edit(Stamp(1), entries(keys, seed), entries(keys, seed + 1));
    batch
}

fn document(keys: usize) -> Document {
    let mut document = Document::default();
    merge(&mut document, &batch(keys, 1), WALL, &Policy::default());
    document
}

fn entries(keys: usize, seed: u64) -> Vec<(Key, Option<Json>)> {
    let json = |key: usize| format!("{{\"id\":{key},\"name\":\"item {seed}\",\"price\":{}.25}}", key as u64 + seed);
    (0..keys).map(|key| (Key::new(format!("key_{key}")), Some(Json::from_encoded(json(key))))).collect()
}

fn slot() -> Arc<Slot> {
    Arc::new(Slot { view: View::new("Elixir.MyAppWeb.CartLive"), vsn: Vsn(1), tab: TabId::new("phx-GB1XaDbGN1-8Qg0C") })
}

/// A header with the writers of a deploy in it.
fn header() -> Header {
    let applied: BTreeMap<_, _> = (1..=4).map(|n| (WriterId(n), Applied { seq: n as u64, at: WALL })).collect();
    let first = succeed(None, WriteId { writer: WriterId(5), seq: 1 }, WALL, false, &Policy::default());
    Header { applied, ..first }
}
