//! A plan in force: decides what happens to each request.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::dice;
use crate::fault::Fault;
use crate::operation::{Head, Operation};
use crate::plan::{On, Plan, Rule, Step};

/// The faults of a server; can be changed while it runs. Clones are the same.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<InForce>>);

struct InForce {
    plan: Plan,
    since: Instant,
    /// How often each rule was thrown for, and how often it happened.
    counts: Vec<Counts>,
    /// By rule and place: when the last request passed that a minimal interval spared.
    spared: HashMap<(usize, u64), Instant>,
    /// By operation and place: how many such requests came.
    arrivals: HashMap<u64, u64>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    seen: u64,
    happened: u64,
}

impl Default for Faults {
    fn default() -> Self {
        Self::new(Plan::default())
    }
}

impl Faults {
    /// Faults by this plan.
    pub fn new(plan: Plan) -> Self {
        Self(Arc::new(Mutex::new(InForce::new(plan))))
    }

    /// Puts another plan into force, from its beginning.
    pub fn set(&self, plan: Plan) {
        *self.0.lock() = InForce::new(plan);
    }

    /// No faults any more.
    pub fn clear(&self) {
        self.set(Plan::default());
    }

    /// The plan in force, with what is left of its script.
    pub fn plan(&self) -> Plan {
        self.0.lock().plan.clone()
    }

    /// Adds a step to the script: the next request of this operation that no earlier step is for gets this fault.
    pub fn next(&self, operation: Operation, fault: Fault) {
        self.next_on(On::operation(operation), fault);
    }

    /// Adds a step to the script, for a kind of request.
    pub fn next_on(&self, on: On, fault: Fault) {
        self.0.lock().plan.script.push(Step { on, fault });
    }

    /// Adds a rule.
    pub fn add(&self, rule: Rule) {
        let mut in_force = self.0.lock();
        in_force.plan.rules.push(rule);
        in_force.counts.push(Counts::default());
    }

    /// How many steps of the script nobody has taken yet.
    pub fn steps_left(&self) -> usize {
        self.0.lock().plan.script.len()
    }

    /// What happens to this request, with every die thrown.
    pub(crate) fn decide(&self, head: &Head, now: Instant) -> Fault {
        self.0.lock().decide(head, now)
    }
}

impl InForce {
    fn new(plan: Plan) -> Self {
        let counts = vec![Counts::default(); plan.rules.len()];
        Self { plan, since: Instant::now(), counts, spared: HashMap::new(), arrivals: HashMap::new() }
    }

    fn decide(&mut self, head: &Head, now: Instant) -> Fault {
        let step = self.plan.script.iter().position(|step| step.on.fits(head));
        let mut fault = step.map_or_else(Fault::default, |step| self.plan.script.remove(step).fault);
        let place = dice::hash(&[head.bucket.as_bytes(), head.key.as_bytes()]);
        let kind = dice::mix(&[place, head.operation as u64]);
        let arrival = self.arrivals.entry(kind).or_default();
        *arrival += 1;
        let request = dice::mix(&[self.plan.seed, kind, *arrival]);
        for (index, rule) in self.plan.rules.iter().enumerate() {
            let counts = &mut self.counts[index];
            if !rule.on.fits(head) || !is_time(rule, now.saturating_duration_since(self.since)) {
                continue;
            }
            counts.seen += 1;
            if counts.seen <= rule.skip || rule.times.is_some_and(|times| counts.happened >= times) {
                continue;
            }
            if dice::fraction(dice::mix(&[request, index as u64])) >= rule.chance {
                continue;
            }
            if let Some(interval) = rule.min_interval_ms.map(Duration::from_millis) {
                let last = self.spared.get(&(index, place));
                if last.is_none_or(|last| now.saturating_duration_since(*last) >= interval) {
                    self.spared.insert((index, place), now);
                    continue;
                }
            }
            counts.happened += 1;
            fault = fault.and(rule.fault.clone());
        }
        fault.delay_before_ms = fault.delay_before_ms.map(|delay| delay.drawn(dice::mix(&[request, BEFORE])));
        fault.delay_after_ms = fault.delay_after_ms.map(|delay| delay.drawn(dice::mix(&[request, AFTER])));
        fault
    }
}

fn is_time(rule: &Rule, age: Duration) -> bool {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    rule.between_ms.is_none_or(|(from, until)| (from..until).contains(&age))
}

/// Dice of their own, beyond the index of any rule.
const BEFORE: u64 = u64::MAX;
const AFTER: u64 = u64::MAX - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Instead, Millis};

    fn put(key: &str) -> Head {
        Head {
            operation: Operation::PutObject,
            bucket: "b".into(),
            key: key.into(),
            conditional: true,
            session_token: None,
        }
    }

    fn get(key: &str) -> Head {
        Head { operation: Operation::GetObject, ..put(key) }
    }

    fn decide(faults: &Faults, head: &Head) -> Fault {
        faults.decide(head, Instant::now())
    }

    fn brown_out(seed: u64) -> Faults {
        let rule = Rule::with_chance(
            0.3,
            On::default(),
            Fault { delay_after_ms: Some(Millis::Between(5, 50)), ..Fault::after(Instead::SlowDown) },
        );
        Faults::new(Plan { seed, rules: vec![rule], ..Plan::default() })
    }

    #[test]
    fn a_step_is_taken_once_and_in_order() {
        let faults = Faults::default();
        faults.next(Operation::PutObject, Fault::after(Instead::Reset));
        faults.next(Operation::PutObject, Fault::before(Instead::HangUp));
        assert!(decide(&faults, &get("k")).is_none());
        assert_eq!(decide(&faults, &put("k")), Fault::after(Instead::Reset));
        assert_eq!(decide(&faults, &put("k")), Fault::before(Instead::HangUp));
        assert!(decide(&faults, &put("k")).is_none());
    }

    #[test]
    fn a_seed_throws_the_same_dice_for_a_key_whatever_happens_on_others() {
        let (quiet, busy, other) = (brown_out(1), brown_out(1), brown_out(2));
        let alone: Vec<_> = (0..200).map(|_| decide(&quiet, &put("k"))).collect();
        let amid_others: Vec<_> = (0..200)
            .map(|n| {
                decide(&busy, &put(&format!("other {n}")));
                decide(&busy, &put("k"))
            })
            .collect();
        assert_eq!(alone, amid_others);
        assert_ne!(alone, (0..200).map(|_| decide(&other, &put("k"))).collect::<Vec<_>>());
    }

    #[test]
    fn a_chance_is_met_in_the_long_run() {
        let faults = brown_out(3);
        let hit = (0..10_000).filter(|n| decide(&faults, &put(&format!("{}", n % 50))).after.is_some()).count();
        assert!((2_800..3_200).contains(&hit), "{hit}");
    }

    #[test]
    fn a_delay_is_drawn_from_all_of_its_span() {
        let rule =
            Rule::always(On::default(), Fault { delay_before_ms: Some(Millis::Between(3, 5)), ..Fault::default() });
        let faults = Faults::new(Plan { rules: vec![rule], ..Plan::default() });
        let mut drawn: Vec<_> =
            (0..100).filter_map(|_| decide(&faults, &put("k")).delay_before_ms).map(Millis::duration).collect();
        drawn.sort();
        drawn.dedup();
        assert_eq!(drawn, [3, 4, 5].map(Duration::from_millis));
    }

    #[test]
    fn a_minimal_interval_spares_one_request_of_each_key_per_interval() {
        let rule = Rule {
            min_interval_ms: Some(1000),
            ..Rule::always(On::operation(Operation::PutObject), Fault::before(Instead::SlowDown))
        };
        let faults = Faults::new(Plan { rules: vec![rule], ..Plan::default() });
        let start = Instant::now();
        let throttled =
            |key: &str, ms: u64| faults.decide(&put(key), start + Duration::from_millis(ms)).before.is_some();
        assert!(!throttled("k", 0));
        assert!(throttled("k", 500));
        assert!(!throttled("other", 500));
        assert!(throttled("k", 999), "a throttled request starts no interval");
        assert!(!throttled("k", 1000));
        assert!(throttled("k", 1999));
    }

    #[test]
    fn skip_times_and_span_bound_a_rule() {
        let bounded = |rule: Rule| Faults::new(Plan { rules: vec![rule], ..Plan::default() });
        let always = || Rule::always(On::default(), Fault::before(Instead::Reset));
        let faults = bounded(Rule { skip: 1, times: Some(2), ..always() });
        let hits: Vec<_> = (0..5).map(|_| decide(&faults, &put("k")).before.is_some()).collect();
        assert_eq!(hits, [false, true, true, false, false]);

        let faults = bounded(Rule { between_ms: Some((1_000, 2_000)), ..always() });
        let start = faults.0.lock().since;
        let hit = |ms: u64| faults.decide(&put("k"), start + Duration::from_millis(ms)).before.is_some();
        assert_eq!([999, 1_000, 1_999, 2_000].map(hit), [false, true, true, false]);
    }

    #[test]
    fn rules_add_up_and_the_earlier_one_fills_a_slot() {
        let rules = vec![
            Rule::always(On::default(), Fault::delay_before(Duration::from_millis(7))),
            Rule::always(On::default(), Fault::after(Instead::Reset)),
            Rule::always(On::default(), Fault::after(Instead::SlowDown)),
        ];
        let faults = Faults::new(Plan { rules, ..Plan::default() });
        let expected = Fault::delay_before(Duration::from_millis(7)).and(Fault::after(Instead::Reset));
        assert_eq!(decide(&faults, &put("k")), expected);
    }

    #[test]
    fn a_kind_of_request_is_all_that_is_asked_for() {
        let on = On {
            key_contains: Some("ab/".into()),
            key_lacks: Some("probe/".into()),
            conditional: Some(true),
            session_token: Some("old".into()),
            ..On::operation(Operation::PutObject)
        };
        let fitting = Head { session_token: Some("old".into()), ..put("ab/c") };
        assert!(on.fits(&fitting));
        for other in [
            Head { session_token: Some("new".into()), ..fitting.clone() },
            Head { conditional: false, ..fitting.clone() },
            Head { key: "probe/ab/c".into(), ..fitting.clone() },
            Head { key: "c".into(), ..fitting.clone() },
            Head { operation: Operation::GetObject, ..fitting },
        ] {
            assert!(!on.fits(&other), "{other:?}");
        }
    }
}
