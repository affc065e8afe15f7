//! What is done around a fork of this process.
//!
//! A child inherits buffers, and the memory of writers, but no claim: those are the parent's. So before a fork, if
//! anything is held, the daemon is asked to hold it for the children too, in a *lease*, which lasts as long as a mapping
//! that children inherit and the parent lets go of. It belongs to the session that a child's buffers hold, and ends with
//! the last of them.
//!
//! Invariant: what is handed out was claimed before the lease was made, or after the fork. Threads that claim something
//! meanwhile wait before they hand it out:
//!
//! ```text
//! a thread that claims                      the thread that forks
//!    claim                                     close the gate
//!    ------------ full fence ------------      ------------ full fence ------------
//!    gate closed? wait until the fork is done  is anything claimed? ask for a lease
//! ```
//!
//! The locks that a child needs are taken before the fork, so that no thread that the child doesn't have holds them.

use std::cell::RefCell;
use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU64, fence};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::{Duration, Instant};

use plasmad_shm::fork::{Handlers, at_fork};
use plasmad_shm::life::Life;
use plasmad_wire::request::Lease;
use plasmad_wire::response::Leased;
use plasmad_wire::{Request, Response};

use crate::connection::lock;
use crate::error::{Error, Result};
use crate::interrupt::Interrupt;
use crate::session::Session;

/// What a session's children would inherit, and what protects it.
#[derive(Debug, Default)]
pub(crate) struct Inheritance {
    /// Pins that were asked for, and objects being written. Pins made without asking stand in the page.
    held: AtomicU64,
    /// During a fork, and in a child: what the daemon holds for it.
    lease: Mutex<Option<Life>>,
    /// It was said once that a child isn't protected.
    complained: AtomicBool,
}

impl Inheritance {
    /// Something is about to be handed out that children could inherit.
    pub(crate) fn add(&self) {
        self.held.fetch_add(1, Relaxed);
        fence(SeqCst);
        if is_closed() {
            wait();
        }
    }

    /// It was given back.
    pub(crate) fn remove(&self) {
        self.held.fetch_sub(1, Relaxed);
    }
}

/// A thread forks: nothing that is claimed now may be handed out before [`wait`]. To be asked behind the claim, which
/// fences.
#[inline]
pub(crate) fn is_closed() -> bool {
    IS_CLOSED.load(Relaxed)
}

/// Waits until that fork is done.
#[cold]
pub(crate) fn wait() {
    drop(lock(&GATE));
}

/// Looks after a session at each fork from here on.
pub(crate) fn watch(session: &Arc<Session>) -> Result<()> {
    at_fork(HANDLERS).map_err(|error| Error::not_done(format!("forks can't be watched: {error}")))?;
    let mut sessions = lock(&SESSIONS);
    sessions.retain(|session| session.strong_count() > 0);
    sessions.push(Arc::downgrade(session));
    Ok(())
}

fn before() {
    let gate = lock(&GATE);
    IS_CLOSED.store(true, Relaxed);
    fence(SeqCst);
    let sessions: Vec<Arc<Session>> = lock(&SESSIONS).iter().filter_map(Weak::upgrade).collect();
    sessions.iter().for_each(|session| session.lease());
    let registry = lock(&SESSIONS);
    let places = lock(&PLACES);
    let locked = places.all.iter().map(|place| lock(place)).collect();
    let forking = Forking { _locked: locked, _places: places, _registry: registry, _gate: gate, sessions };
    // A thread that ends has no memory of its own any more; its child may then find a lock taken.
    let _ = FORKING.try_with(|place| place.replace(Some(forking)));
}

fn in_parent() {
    after(|session| drop(lock(&session.inheritance.lease).take()));
}

fn in_child() {
    after(|_| ());
}

fn after(each: impl Fn(&Session)) {
    let forking = FORKING.try_with(RefCell::take).ok().flatten();
    forking.iter().flat_map(|forking| &forking.sessions).for_each(|session| each(session));
    IS_CLOSED.store(false, Relaxed);
}

/// What the thread that forks holds meanwhile, in the order in which it lets go.
struct Forking {
    _locked: Vec<MutexGuard<'static, Option<Arc<Session>>>>,
    _places: MutexGuard<'static, Places>,
    _registry: MutexGuard<'static, Vec<Weak<Session>>>,
    _gate: MutexGuard<'static, ()>,
    sessions: Vec<Arc<Session>>,
}

impl Session {
    /// Has what children would inherit held for them too. If that can't be done it is said, and the fork goes on.
    fn lease(&self) {
        let has_claims = || self.fast.as_ref().is_some_and(|fast| fast.has_claims());
        if !self.connection.is_own() || (self.inheritance.held.load(Relaxed) == 0 && !has_claims()) {
            return;
        }
        match self.ask_for_lease() {
            Ok(lease) => *lock(&self.inheritance.lease) = lease,
            Err(error) if self.inheritance.complained.swap(true, Relaxed) => drop(error),
            Err(error) => eprintln!(
                "plasmad: process {} forks, and what its child inherits of the store is not protected: {error}",
                std::process::id()
            ),
        }
    }

    fn ask_for_lease(&self) -> Result<Option<Life>> {
        let give_up = Instant::now() + LEASE_TIME_MAX;
        let interrupt = Interrupt::default().with_hook(Arc::new(move || Instant::now() >= give_up));
        loop {
            let answer = self.connection.call_for_descriptor(&Request::Lease(Lease {}), &interrupt);
            let mapped = match answer {
                Ok((Response::Leased(Leased { objects: 0 }), _)) => return Ok(None),
                Ok((Response::Leased(_), Some(descriptor))) => Life::of_children_too(descriptor),
                Ok(_) => return Err(self.connection.refuse("the daemon answered a lease with something else")),
                Err(Error::Interrupted) => {
                    let sentence = format!("the daemon didn't answer within {LEASE_TIME_MAX:?}");
                    return Err(Error::not_done(sentence));
                }
                Err(error) => return Err(error),
            };
            match mapped {
                Ok(life) => return Ok(Some(life)),
                // It took so long that the daemon took the lease back.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied && Instant::now() < give_up => (),
                Err(error) => return Err(Error::not_done(format!("the lease can't be mapped: {error}"))),
            }
        }
    }
}

/// Where a store keeps its session, under a lock that no child finds taken.
///
/// Places are used again and never freed, so that their locks can be held by a thread between two handlers.
#[derive(Debug)]
pub(crate) struct Place(&'static Mutex<Option<Arc<Session>>>);

impl Place {
    pub(crate) fn of(session: Option<Arc<Session>>) -> Self {
        let mut places = lock(&PLACES);
        let place = places.free.pop().unwrap_or_else(|| {
            let place: &'static _ = Box::leak(Box::default());
            places.all.push(place);
            place
        });
        drop(places);
        *lock(place) = session;
        Self(place)
    }

    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        lock(self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The session may say goodbye, which is done outside of every lock.
        let session = self.lock().take();
        drop(session);
        lock(&PLACES).free.push(self.0);
    }
}

#[derive(Debug)]
struct Places {
    all: Vec<&'static Mutex<Option<Arc<Session>>>>,
    free: Vec<&'static Mutex<Option<Arc<Session>>>>,
}

thread_local! {
    static FORKING: RefCell<Option<Forking>> = const { RefCell::new(None) };
}

const HANDLERS: Handlers = Handlers { before, in_parent, in_child };

/// Locked while a thread forks. Whoever takes several of these locks takes them in this order.
static GATE: Mutex<()> = Mutex::new(());
static IS_CLOSED: AtomicBool = AtomicBool::new(false);
static SESSIONS: Mutex<Vec<Weak<Session>>> = Mutex::new(Vec::new());
static PLACES: Mutex<Places> = Mutex::new(Places { all: Vec::new(), free: Vec::new() });

/// How long a fork waits for a daemon that doesn't answer.
const LEASE_TIME_MAX: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use plasmad_shm::fork::testing::fork;

    use super::*;

    #[test]
    fn a_child_finds_no_lock_taken_by_a_thread_it_does_not_have() {
        at_fork(HANDLERS).unwrap();
        let place = Place::of(None);
        let is_over = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                // Held nearly all the time.
                while !is_over.load(Relaxed) {
                    let held = place.lock();
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_micros(200) {}
                    drop(held);
                    std::thread::yield_now();
                }
            });
            let found = (0..20).map(|_| fork(|| assert!(place.0.try_lock().is_ok() && GATE.try_lock().is_ok())).wait());
            let found: Vec<bool> = found.collect();
            is_over.store(true, Relaxed);
            assert!(found.into_iter().all(|free| free));
        });
        drop(place);
        // Given back, it is used again.
        assert_eq!(lock(&PLACES).free.len(), 1);
    }
}
