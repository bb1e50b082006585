//! Messages to processes.
//!
//! Building a message can take as long as decoding a document does, and the VM forbids sending from its own
//! schedulers' threads as we need to (fault 50). So messages are built and sent by a few threads that do nothing
//! else: never by the runtime's, which must stay free for the store, and never by a scheduler.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender};
use rustler::thread::is_scheduler_thread;
use rustler::{Encoder, Env, LocalPid, OwnedEnv, Resource, ResourceArc, Term};

use crate::atoms;
use crate::claim::Claim;
use crate::fault_hook;

/// What a process holds while it waits for a reply.
pub(crate) struct RequestResource {
    claim: Arc<Claim>,
}

#[rustler::resource_impl]
impl Resource for RequestResource {}

#[rustler::nif]
fn request_cancel(request: ResourceArc<RequestResource>) -> bool {
    fault_hook::pass("request_cancel");
    request.claim.cancel()
}

/// Where messages are handed in. Cheap to clone; handing in never blocks.
#[derive(Clone)]
pub(crate) struct Outbox {
    replies: Sender<Letter>,
    notices: Sender<Letter>,
}

/// Makes the term to send, in an environment of its own.
pub(crate) trait Build: for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static {}

impl<F: for<'a> FnOnce(Env<'a>) -> Term<'a> + Send + 'static> Build for F {}

struct Letter {
    to: LocalPid,
    request: Option<Request>,
    build: Box<dyn Build>,
}

struct Request {
    id: u64,
    claim: Arc<Claim>,
}

impl Outbox {
    /// Starts the threads. They end with the VM.
    pub(crate) fn start() -> io::Result<Outbox> {
        let (replies, replies_to_send) = crossbeam_channel::unbounded();
        let (notices, notices_to_send) = crossbeam_channel::unbounded();
        for number in 0..REPLY_THREADS {
            spawn(format!("dstash-reply-{number}"), replies_to_send.clone())?;
        }
        spawn("dstash-notice".into(), notices_to_send)?;
        Ok(Outbox { replies, notices })
    }

    /// What `{:durable_stash, id, reply}` will answer. Whoever holds the [`Answer`] owes the reply.
    pub(crate) fn request(&self, to: LocalPid, id: u64) -> (ResourceArc<RequestResource>, Answer) {
        let claim = Arc::new(Claim::default());
        let request = ResourceArc::new(RequestResource { claim: Arc::clone(&claim) });
        let owed = Owed { to, request: Request { id, claim }, replies: self.replies.clone() };
        (request, Answer { owed: Some(owed) })
    }

    /// As [`request`](Self::request), but its reply arrives after every notice that was handed in before it was given.
    pub(crate) fn request_after_notices(&self, to: LocalPid, id: u64) -> (ResourceArc<RequestResource>, Answer) {
        let (request, mut answer) = self.request(to, id);
        if let Some(owed) = &mut answer.owed {
            owed.replies = self.notices.clone();
        }
        (request, answer)
    }

    /// A message that nobody asked for one by one. Notices arrive in the order in which they were handed in.
    pub(crate) fn notice(&self, to: LocalPid, build: impl Build) {
        hand_in(&self.notices, Letter { to, request: None, build: Box::new(build) });
    }
}

/// A reply that is owed. If it is dropped without one, because the engine went down around it, the waiter is told so.
pub(crate) struct Answer {
    owed: Option<Owed>,
}

struct Owed {
    to: LocalPid,
    request: Request,
    replies: Sender<Letter>,
}

impl Answer {
    pub(crate) fn give(mut self, build: impl Build) {
        if let Some(owed) = self.owed.take() {
            owed.send(Box::new(build));
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(owed) = self.owed.take() {
            owed.send(Box::new(|env| down(env, "The engine stopped before it could answer.")));
        }
    }
}

impl Owed {
    fn send(self, build: Box<dyn Build>) {
        hand_in(&self.replies, Letter { to: self.to, request: Some(self.request), build });
    }
}

fn hand_in(channel: &Sender<Letter>, letter: Letter) {
    // The receivers are held by threads that end with the VM only.
    let _ = channel.send(letter);
}

fn spawn(name: String, letters: Receiver<Letter>) -> io::Result<()> {
    thread::Builder::new().name(name).spawn(move || {
        let mut env = OwnedEnv::new();
        for letter in letters {
            deliver(letter, &mut env);
        }
    })?;
    Ok(())
}

fn deliver(letter: Letter, env: &mut OwnedEnv) {
    debug_assert!(!is_scheduler_thread());
    let Letter { to, request, build } = letter;
    // Claimed before it is built, so that what nobody waits for costs nothing. From here on it must be sent.
    if request.as_ref().is_some_and(|request| !request.claim.send()) {
        return;
    }
    let message = env.run(|inner| {
        let built = catch_unwind(AssertUnwindSafe(|| {
            fault_hook::pass("reply");
            build(inner)
        }));
        let message = match (built, request) {
            (Ok(notice), None) => notice,
            (Ok(reply), Some(request)) => addressed(inner, &request, reply),
            (Err(_), Some(request)) => {
                addressed(inner, &request, down(inner, "The reply could not be built: an internal error."))
            }
            // A notice that cannot be built is lost. Nobody waits for it.
            (Err(_), None) => return None,
        };
        Some(env.save(message))
    });
    match message {
        // A process that is gone gets no message, and that is all (fault 48).
        Some(message) => drop(env.send_and_clear(&to, |env| message.load(env))),
        None => env.clear(),
    }
}

fn addressed<'a>(env: Env<'a>, request: &Request, reply: Term<'a>) -> Term<'a> {
    (atoms::durable_stash(), request.id, reply).encode(env)
}

fn down<'a>(env: Env<'a>, message: &str) -> Term<'a> {
    (atoms::error(), (atoms::engine_down(), message)).encode(env)
}

/// Two, so that decoding one large document does not keep everybody else waiting.
const REPLY_THREADS: usize = 2;
