//! Several nodes, one session: compare-and-swap arbitrates, and everybody gets a turn.

use std::collections::BTreeMap;

use durable_stash_machine::Event;

use crate::commit::lab_with_a_document;
use crate::lab::{Lab, Live, Request, slot};
use crate::rng::Rng;

#[test]
fn fault_08_nodes_that_write_one_session_without_a_break_all_get_their_turn() {
    for (nodes, puts_per_commit) in [(2, 2.0), (4, 2.5), (8, 3.5)] {
        let storm = Storm::new(nodes).run(120_000);
        let ratio = storm.puts as f64 / storm.commits as f64;
        assert!(ratio <= puts_per_commit, "{nodes} nodes: {ratio} PUTs per commit");
        assert!(storm.longest_ms < 15_000, "{nodes} nodes: one waited for {} ms", storm.longest_ms);
    }
}

#[test]
fn fault_42_a_node_that_was_stopped_for_a_minute_rebases_on_what_happened_meanwhile() {
    let (mut lab, zombie) = lab_with_a_document(2);
    let other = lab.claim(1, &slot("a", 1, "t2"), false, false);
    lab.read(&other);
    lab.serve_node(1);
    let op = lab.stash(&zombie, &[("k", "1")]);
    let put = lab.take_put(0);
    for n in 0..10 {
        lab.stash(&other, &[("l", &n.to_string())]);
        lab.wait(6_000);
        lab.serve_node(1);
    }
    lab.serve(put);
    let read = lab.read(&zombie);
    lab.settle();
    assert!(lab.is_saved(&zombie, op));
    assert_eq!(lab.shown(0, read), "first=0 k=1 l=9");
    assert_eq!(lab.stored(&zombie.slot, "l").as_deref(), Some("9"));
}

#[test]
fn fault_43_partitioned_nodes_both_serve_and_the_store_arbitrates() {
    let (mut lab, left) = lab_with_a_document(2);
    let right = lab.claim(1, &slot("a", 1, "t2"), false, false);
    for n in 0..20 {
        let text = n.to_string();
        lab.stash(&left, &[("left", &text)]);
        lab.stash(&right, &[("right", &text)]);
        lab.settle();
    }
    let stored = |key| lab.stored(&left.slot, key);
    assert_eq!((stored("left").as_deref(), stored("right").as_deref()), (Some("19"), Some("19")));
}

#[test]
fn fault_58_two_tabs_that_write_one_key_at_one_instant_are_ordered() {
    // On one node the later acceptance wins, whatever the order of their claims.
    let mut lab = Lab::new();
    let tabs = ["t1", "t2"].map(|tab| lab.claim(0, &slot("a", 1, tab), false, true));
    for order in [[0, 1], [1, 0]] {
        for tab in order {
            lab.stash(&tabs[tab], &[("k", ["\"one\"", "\"two\""][tab])]);
        }
        let read = lab.read(&tabs[0]);
        lab.settle();
        let winner = ["\"one\"", "\"two\""][order[1]];
        assert_eq!(lab.stored(&tabs[0].slot, "k").as_deref(), Some(winner));
        assert_eq!(lab.shown(0, read), format!("k={winner}"), "a reader sees what will win");
    }
    // On two nodes the store's order decides, and both learn it from the next read.
    let mut lab = Lab::nodes(2);
    let tabs = [0, 1].map(|node| lab.claim(node, &slot("a", 1, &format!("t{node}")), false, true));
    lab.stash(&tabs[0], &[("k", "1")]);
    lab.stash(&tabs[1], &[("k", "2")]);
    lab.settle();
    let reads = [0, 1].map(|node| lab.read(&tabs[node]));
    lab.settle();
    assert_eq!(lab.shown(0, reads[0]), lab.shown(1, reads[1]));
}

/// Nodes that write again as soon as they are told what became of the last write, over a network with latency.
struct Storm {
    lab: Lab,
    lives: Vec<Live>,
    open: Vec<Option<(u64, u64)>>,
    /// Requests on their way to the store, and answers on their way back.
    network: BTreeMap<(u64, u64), (Request, Option<Event>)>,
    sent: u64,
    rng: Rng,
    puts: usize,
    commits: usize,
    longest_ms: u64,
}

impl Storm {
    fn new(nodes: usize) -> Self {
        let mut lab = Lab::nodes(nodes);
        let lives = (0..nodes).map(|node| lab.claim(node, &slot("a", 1, &format!("t{node}")), false, false)).collect();
        let (network, rng) = (BTreeMap::new(), Rng::new(nodes as u64));
        Self { lab, lives, open: vec![None; nodes], network, sent: 0, rng, puts: 0, commits: 0, longest_ms: 0 }
    }

    fn run(mut self, ms: u64) -> Self {
        let end = self.lab.now.mono + ms;
        while self.lab.now.mono < end {
            for node in 0..self.lives.len() {
                self.write(node);
                while !self.lab.asks_nothing(node) {
                    let request = self.lab.take(node);
                    self.send(request, None);
                }
            }
            self.lab.wait(1);
            while let Some(next) = self.network.first_entry().filter(|next| next.key().0 <= self.lab.now.mono) {
                match next.remove() {
                    (request, None) => {
                        let event = self.lab.reach(&request);
                        self.send(request, Some(event));
                    }
                    (request, Some(event)) => self.lab.answer(request.node, event),
                }
            }
        }
        for (_, since) in self.open.iter().flatten() {
            self.longest_ms = self.longest_ms.max(end - since);
        }
        self.puts = (0..self.lives.len()).map(|node| self.lab.puts(node)).sum();
        self
    }

    fn write(&mut self, node: usize) {
        let now = self.lab.now.mono;
        if let Some((op, since)) = self.open[node] {
            if self.lab.outcome(&self.lives[node], op).is_none() {
                return;
            }
            assert!(self.lab.is_saved(&self.lives[node], op));
            self.commits += 1;
            self.longest_ms = self.longest_ms.max(now - since);
        }
        let op = self.lab.stash(&self.lives[node], &[("k", "1")]);
        self.open[node] = Some((op, now));
    }

    fn send(&mut self, request: Request, event: Option<Event>) {
        self.sent += 1;
        let at = self.lab.now.mono + self.rng.between(5, 20);
        self.network.insert((at, self.sent), (request, event));
    }
}
