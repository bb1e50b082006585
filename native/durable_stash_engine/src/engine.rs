//! The engine: the one entrance. It starts, opens sessions, forgets them, drains.

use std::sync::Arc;
use std::time::Duration;

use durable_stash_machine::slice::Epoch;
use durable_stash_machine::{ClaimId, Command, Policy, Slot, WriterId};
use tokio::sync::watch;

use crate::backend;
use crate::budget::Budget;
use crate::cell::Cell;
use crate::clock::Clock;
use crate::config::Config;
use crate::driver;
use crate::error::{Error, Failure};
use crate::gate::{Gate, Health};
use crate::handle::{Handle, Reply};
use crate::inbox::Input;
use crate::leaving;
use crate::observer::{EngineEvent, Observer};
use crate::probe;
use crate::registry::{Registry, Wake};
use crate::requests::Requests;
use crate::session_key::{Secret, SessionKey};
use crate::standing::HandleState;
use crate::stats::{Counters, Stats};
use crate::store::Store;
use crate::sweeper::{self, Sweeper};
use crate::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crate::sync::planted;
use crate::tasks::Tasks;
use crate::ticket::Ticket;

/// A running engine. Clones are the same engine; when the last one is dropped it stops at once, without a drain.
#[derive(Clone)]
pub struct Engine(Arc<Running>);

/// What a LiveView says when it opens its session.
#[derive(Clone, Debug)]
pub struct Open<'a> {
    /// The browser session's id. Hashed here, never kept.
    pub sid: &'a str,
    /// The view's own secrets, in place of the engine's.
    pub secrets: Option<Vec<Secret>>,
    /// The view, the version of its code, the tab.
    pub slot: Slot,
    /// What kind of mount it is.
    pub mount: Mount,
    /// Where the mount stands, as [`Handle::epoch`] told, or `Epoch::at` its moment if no handle has told yet: a claim is ordered by
    /// that. None is now, and for `Mount::Again` and `Mount::Late` behind every other.
    pub epoch: Option<u64>,
    /// The view has `:reconnect` keys.
    pub stores_tab: bool,
    /// The sid was minted in this very request: there can be nothing stored yet.
    pub minted: bool,
}

/// The kinds of mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The HTTP render: claims nothing.
    Dead,
    /// A connected mount of a tab that starts anew.
    Fresh,
    /// A connected mount of a tab that was here before.
    Rejoin,
    /// No mount: the LiveView lives on and opens its session anew, since the engine was restarted or has lost it. It
    /// takes its tab again unless that has mounted since.
    Again,
    /// No mount: what an earlier one opens for the first time, as a LiveComponent that comes to the page late. It takes the
    /// tab as `Again` does, and if the mount was fresh the tab starts anew.
    Late {
        /// The mount was `Fresh`.
        fresh: bool,
    },
}

/// What became of the sessions when the engine stopped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Sessions that were in memory and ended with everything saved.
    pub saved_sessions: u64,
    /// Sessions with writes that were not saved in time.
    pub unsaved_sessions: u64,
    /// Those writes.
    pub unsaved_ops: u64,
    /// How long it took, in ms.
    pub took_ms: u64,
}

/// What tests and simulations put in place of the real thing.
#[derive(Default)]
pub struct Overrides {
    /// In place of the configured backend.
    pub store: Option<Arc<dyn Store>>,
    /// In place of the machine's clocks.
    pub clock: Option<Clock>,
    /// In place of the operating system's randomness.
    pub seed: Option<u128>,
    /// Stops all of the engine's tasks for a while.
    #[cfg(feature = "test-util")]
    pub brake: crate::brake::Brake,
}

impl Engine {
    /// Starts an engine on `runtime` and returns at once; whether the store keeps to conditions is found out meanwhile,
    /// and PUTs wait for it. An error is one of the configuration, and names the option.
    pub fn start(config: Config, runtime: tokio::runtime::Handle, observer: Arc<dyn Observer>) -> Result<Self, Error> {
        Self::start_with(config, runtime, observer, Overrides::default())
    }

    /// [`Engine::start`] with parts replaced.
    pub fn start_with(
        config: Config,
        runtime: tokio::runtime::Handle,
        observer: Arc<dyn Observer>,
        overrides: Overrides,
    ) -> Result<Self, Error> {
        config.validate()?;
        let seeds = match overrides.seed {
            Some(seed) => Seeds::from_u128(seed),
            None => Seeds::from_os()?,
        };
        let store = match overrides.store {
            Some(store) => store,
            None => backend::open(&config)?,
        };
        let counters = Arc::new(Counters::default());
        let gate = Arc::new(Gate::new(observer.clone()));
        let attempt_timeout = Duration::from_millis(config.attempt_timeout_ms);
        let requests = Requests::new(store.clone(), gate, counters.clone(), config.requests_in_flight, attempt_timeout);
        let shared = Arc::new(Shared {
            writer: WriterId(seeds.next_u128()),
            sweeper_id: WriterId(seeds.next_u128()),
            sweeper_seq: AtomicU64::new(0),
            seeds,
            policy: Arc::new(config.policy.clone()),
            secrets: config.secrets.clone(),
            idle_after_ms: config.idle_after_ms,
            registry: Registry::new(),
            budget: Budget::new(config.max_unsaved_bytes),
            cache: Budget::new(config.max_cached_bytes),
            clock: overrides.clock.unwrap_or_else(Clock::system),
            seq_floor: AtomicU64::new(0),
            next_claim: AtomicU64::new(0),
            stopped: watch::channel(false).0,
            tasks: Tasks::new(),
            requests,
            counters,
            observer,
            runtime,
            #[cfg(feature = "test-util")]
            brake: overrides.brake,
        });
        if store.wants_probe() {
            shared.spawn(probe::establish(shared.clone(), attempt_timeout));
        } else {
            shared.requests.gate.open(None);
        }
        if config.sweep_every_ms > 0 {
            let every = Duration::from_millis(config.sweep_every_ms);
            shared.spawn(sweeper::run(shared.clone(), every, config.sweep_rate));
        }
        Ok(Self(Arc::new(Running { shared })))
    }

    /// Opens a session for one LiveView. A connected mount takes its tab with it.
    pub fn open(&self, open: Open<'_>) -> Result<Handle, Error> {
        let shared = self.shared();
        let (key, own_secrets) = shared.key(open.sid, open.secrets.as_deref())?;
        let claim = ClaimId(shared.next_claim.fetch_add(1, Relaxed) + 1);
        let state = HandleState::new(claim);
        let slot = Arc::new(open.slot);
        let stores_tab = open.stores_tab;
        let claims = |fresh| Command::Claim { claim, slot: slot.clone(), fresh, stores_tab };
        let stands = open.epoch.map(Epoch);
        let epoch = stands.unwrap_or_default();
        let command = match open.mount {
            Mount::Dead => None,
            Mount::Fresh => Some(claims(true)),
            Mount::Rejoin => Some(claims(false)),
            Mount::Again => Some(Command::Reclaim { claim, slot: slot.clone(), stores_tab, epoch }),
            Mount::Late { fresh } => Some(Command::ClaimLate { claim, slot: slot.clone(), fresh, stores_tab, epoch }),
        };
        let claimed = command.is_some();
        let now = shared.clock.now().wall;
        let wall = stands.map_or(now, |epoch| now.min(epoch.millis()));
        let input = command.map(|command| Input::Claim { handle: state.clone(), command: Box::new(command), wall });
        let (cell, wake) = shared.registry.open(key, own_secrets, &state, input)?;
        shared.drive(wake, open.minted);
        Ok(Handle::new(shared.clone(), cell, state, slot, claimed, open.minted))
    }

    /// Buries the session's document (logout).
    pub fn forget(&self, sid: &str, secrets: Option<Vec<Secret>>, reply: Reply<Result<(), Error>>) {
        let shared = self.shared();
        let ticket = Ticket::new(reply);
        match shared.key(sid, secrets.as_deref()) {
            Err(error) => ticket.answer(Err(error)),
            // On failure the input is dropped, and its ticket answers.
            Ok((key, own_secrets)) => {
                let input = Input::Forget { reply: ticket };
                if let Ok(wake) = shared.registry.send_once(key, own_secrets, input) {
                    shared.drive(wake, false);
                }
            }
        }
    }

    /// Stops accepting, has every session save what it holds, and stops after that or after `timeout`.
    ///
    /// Writes that arrive meanwhile are accepted by sessions that are still at it, and flushed, or answered with
    /// `engine_down`. Once the reply is called nothing of the engine runs any more.
    pub fn drain(&self, timeout: Duration, reply: Reply<DrainReport>) {
        let shared = self.shared().clone();
        self.shared().start_task(async move { reply(shared.drain(timeout).await) });
    }

    /// What the engine has done and holds.
    pub fn stats(&self) -> Stats {
        let shared = self.shared();
        Stats {
            live_sessions: shared.registry.in_memory() as u64,
            unsaved_bytes: shared.budget.taken() as u64,
            ..shared.counters.read()
        }
    }

    /// How the engine is.
    pub fn health(&self) -> Health {
        self.shared().requests.gate.health()
    }

    /// Walks the prefix once, now, as the sweeper does on its own every `sweep_every_ms`.
    pub async fn sweep(&self, rate: u32) {
        Sweeper::new(self.shared().clone(), rate).round().await;
    }

    /// Tasks that run for this engine: those of sessions that have something to do, and its own.
    pub fn running_tasks(&self) -> usize {
        self.shared().tasks.count() + self.shared().registry.live().count()
    }

    /// Sessions that are in memory, or remembered because of a handle.
    pub fn known_sessions(&self) -> usize {
        self.shared().registry.len()
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }
}

/// Lives as long as somebody has the engine. Tasks and handles have `Shared` only, so that they do not keep it alive.
struct Running {
    shared: Arc<Shared>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shared.stop();
    }
}

/// What the engine's tasks and handles share.
pub(crate) struct Shared {
    pub(crate) policy: Arc<Policy>,
    pub(crate) idle_after_ms: u64,
    pub(crate) registry: Registry,
    pub(crate) requests: Requests,
    pub(crate) budget: Budget,
    /// What sessions keep of documents that are saved.
    pub(crate) cache: Budget,
    pub(crate) counters: Arc<Counters>,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) clock: Clock,
    pub(crate) tasks: Tasks,
    pub(crate) seeds: Seeds,
    /// This run of this engine, in every document that its sessions write.
    pub(crate) writer: WriterId,
    /// The sweeper writes under a name of its own: its numbers must not be taken for a session's.
    pub(crate) sweeper_id: WriterId,
    /// Counts the sweeper's writes, across rounds.
    pub(crate) sweeper_seq: AtomicU64,
    /// Above every number that a session which left memory has used.
    pub(crate) seq_floor: AtomicU64,
    secrets: Vec<Secret>,
    next_claim: AtomicU64,
    stopped: watch::Sender<bool>,
    runtime: tokio::runtime::Handle,
    #[cfg(feature = "test-util")]
    brake: crate::brake::Brake,
}

impl Shared {
    /// Puts an input into a session that the caller has a handle of, and starts its driver if it has none.
    pub(crate) fn send(self: &Arc<Self>, cell: &Arc<Cell>, input: Input, minted: bool) -> Result<(), Failure> {
        let wake = self.registry.send(cell, input)?;
        self.drive(wake, minted);
        Ok(())
    }

    /// Has an input taken. No lock may be held: where the runtime is gone, a new driver ends here and now, and tells
    /// everybody.
    pub(crate) fn drive(self: &Arc<Self>, wake: Option<Wake>, minted: bool) {
        match wake {
            Some(Wake::New(woken)) => self.start_task(driver::run(self.clone(), woken, minted)),
            Some(Wake::Waiting(driver)) => driver.wake(),
            None => {}
        }
    }

    /// A session was parked, as the first one of all: from now on somebody sees to its leaving memory.
    pub(crate) fn watch_leaving(self: &Arc<Self>) {
        self.spawn(leaving::watch(self.clone()));
    }

    fn start_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        #[cfg(feature = "test-util")]
        let task = self.brake.hold(task);
        self.runtime.spawn(task);
    }

    fn key(&self, sid: &str, own: Option<&[Secret]>) -> Result<(SessionKey, bool), Error> {
        let secrets = match own {
            Some([]) => {
                let problem = "must hold at least one secret if the view gives any".to_owned();
                return Err(Failure::Config { option: "secret", problem }.into());
            }
            Some(own) => own,
            None => &self.secrets,
        };
        Ok((SessionKey::new(secrets, sid), secrets != self.secrets))
    }

    /// Runs `work` until it ends or the engine stops.
    fn spawn(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.begin();
        let mut stopped = self.stopped.subscribe();
        self.start_task(async move {
            let _task = task;
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => {}
                () = work => {}
            }
        });
    }

    async fn drain(self: &Arc<Self>, timeout: Duration) -> DrainReport {
        let began = self.clock.now().mono;
        let (sessions, before) = (self.registry.in_memory() as u64, self.counters.read());
        if !planted!(ClosedTooLate) {
            self.registry.close();
        }
        self.registry.send_to_live(|| Input::Drain);
        // Whoever parks from now on has been told, and leaves.
        let parked = self.registry.evict_all();
        self.counters.evicted.fetch_add(parked as u64, Relaxed);
        // Whether in time or not: the sessions that are left are told to stop, and leave behind what they could not save.
        let _ = tokio::time::timeout(timeout, self.registry.live().all_ended()).await;
        self.stop();
        let ended = async {
            self.registry.live().all_ended().await;
            self.tasks.all_ended().await;
        };
        // Each task ends at its next turn; a bound all the same, since somebody waits for the reply.
        let _ = tokio::time::timeout(LAST_TURNS, ended).await;
        let after = self.counters.read();
        let unsaved_sessions = after.lost_sessions - before.lost_sessions;
        let report = DrainReport {
            saved_sessions: sessions.saturating_sub(unsaved_sessions),
            unsaved_sessions,
            unsaved_ops: after.lost_ops - before.lost_ops,
            took_ms: self.clock.now().mono - began,
        };
        self.observer.happened(EngineEvent::Drained(report));
        report
    }

    /// Ends every task. What is not saved is reported to its handles as lost.
    fn stop(&self) {
        self.registry.close();
        self.stopped.send_replace(true);
        self.registry.send_to_live(|| Input::Stop);
        for handle in self.registry.bury_dormant(&Failure::EngineDown) {
            if planted!(DormantUntold) {
                break;
            }
            handle.go_down(Failure::EngineDown);
        }
    }
}

/// Seeds and ids, from the operating system's randomness or a given seed.
pub(crate) struct Seeds {
    key: u128,
    drawn: AtomicU64,
}

impl Seeds {
    fn from_os() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|error| Failure::Randomness { reason: error.to_string() })?;
        Ok(Self::from_u128(u128::from_le_bytes(bytes)))
    }

    fn from_u128(key: u128) -> Self {
        Self { key, drawn: AtomicU64::new(0) }
    }

    /// 128 bits: HMAC-like expansion by SHA-256 over the key and a count, so that ids keep all of the key's entropy.
    pub(crate) fn next_u128(&self) -> u128 {
        use sha2::{Digest, Sha256};
        let mut hash = Sha256::new();
        hash.update(self.key.to_le_bytes());
        hash.update(self.drawn.fetch_add(1, Relaxed).to_le_bytes());
        hash.finalize().iter().take(16).fold(0, |value, byte| value << 8 | u128::from(*byte))
    }

    /// 64 bits.
    pub(crate) fn next(&self) -> u64 {
        (self.next_u128() >> 64) as u64
    }
}

/// How long the end of the last tasks is waited for once they have been told.
const LAST_TURNS: Duration = Duration::from_secs(2);
