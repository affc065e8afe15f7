//! The verbs that only look, and those that remove.

use std::sync::Arc;

use plasmad_wire::request::{Contains, Delete, Evict, List, Ping, Stat, Stats, Wait};
use plasmad_wire::response::{Evicted, ObjectInfo, Pong};
use plasmad_wire::{ObjectId, Request, Response};

use crate::connection::OnStop;
use crate::error::{Error, Result};
use crate::session::Session;
use crate::store::Store;
use crate::timeout::Timeout;

/// What [`Store::list`] found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listing {
    /// Objects, each as it was when its page was read.
    pub objects: Vec<ObjectInfo>,
    /// How many objects the store has.
    pub total: u64,
}

/// The answer of the expected kind, or the end of the connection.
macro_rules! answered {
    ($session:expr, $response:expr, $kind:ident) => {
        match $response {
            plasmad_wire::Response::$kind(answer) => Ok(answer),
            _ => Err($session.connection.refuse(concat!("the daemon didn't answer with ", stringify!($kind)))),
        }
    };
}
pub(crate) use answered;

impl Store {
    /// Is the object sealed?
    pub fn contains(&self, id: ObjectId) -> Result<bool> {
        let is_there = self.session()?.fast.as_ref().is_some_and(|fast| fast.contains(&id));
        Ok(is_there || self.contains_many(&[id])? == [true])
    }

    /// Which of these are sealed, in their order.
    pub fn contains_many(&self, ids: &[ObjectId]) -> Result<Vec<bool>> {
        let request = Request::Contains(Contains { ids: ids.to_vec() });
        let (session, response) = self.ask(&request, ids, OnStop::Drop)?;
        let sealed = answered!(session, response, Present)?.sealed;
        whole(&session, sealed, ids.len())
    }

    /// Makes sealed objects invisible at once; their memory is free after the last buffer of theirs. Returns how many
    /// there were: absent ones are no error. An unsealed one is, and then nothing is deleted.
    pub fn delete(&self, ids: &[ObjectId]) -> Result<u64> {
        let request = Request::Delete(Delete { ids: ids.to_vec() });
        let (session, response) = self.ask(&request, ids, OnStop::Keep)?;
        Ok(answered!(session, response, Count)?.count.into())
    }

    /// Waits until `count` of the objects are sealed, or the time is up; tells which are. Pins nothing.
    ///
    /// # Errors
    /// If `count` isn't from 1 to the number of ids, or an id is repeated.
    pub fn wait(&self, ids: &[ObjectId], count: usize, timeout: impl Into<Timeout>) -> Result<Vec<bool>> {
        if count == 0 || count > ids.len() {
            return Err(Error::invalid(format!("can't wait for {count} of {} objects", ids.len())));
        }
        let wait = Wait { timeout_ns: timeout.into().nanoseconds(), count: count as u32, ids: ids.to_vec() };
        let (session, response) = self.ask(&Request::Wait(wait), ids, OnStop::Drop)?;
        let sealed = answered!(session, response, Present)?.sealed;
        whole(&session, sealed, ids.len())
    }

    /// All about one object, sealed or not.
    pub fn stat(&self, id: ObjectId) -> Result<ObjectInfo> {
        let (session, response) = self.ask(&Request::Stat(Stat { id }), &[id], OnStop::Drop)?;
        answered!(session, response, ObjectInfo)
    }

    /// All about up to `limit` objects (`None`: all). What comes and goes meanwhile may be missed.
    pub fn list(&self, limit: Option<u64>) -> Result<Listing> {
        let mut listing = Listing { objects: Vec::new(), total: 0 };
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let left = limit.map_or(u64::MAX, |limit| limit - listing.objects.len() as u64);
            let page = List { cursor: from, limit: left.clamp(1, u32::MAX.into()) as u32 };
            let (session, response) = self.ask(&Request::List(page), &[], OnStop::Drop)?;
            let page = answered!(session, response, Listed)?;
            listing.total = page.total;
            listing.objects.extend(page.objects.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)));
            let enough = limit.is_some_and(|limit| listing.objects.len() as u64 >= limit);
            cursor = page.next.filter(|_| !enough);
        }
        Ok(listing)
    }

    /// The store's numbers: the JSON document that `plasmad stats --json` prints.
    pub fn stats_json(&self) -> Result<String> {
        let (session, response) = self.ask(&Request::Stats(Stats {}), &[], OnStop::Drop)?;
        let document = answered!(session, response, Stats)?.json.0;
        String::from_utf8(document).map_err(|_| Error::protocol("the stats are no text"))
    }

    /// Asks for room: drops evictable objects nobody has pinned, least recently used first.
    pub fn evict(&self, bytes: u64) -> Result<Evicted> {
        let (session, response) = self.ask(&Request::Evict(Evict { bytes }), &[], OnStop::Keep)?;
        answered!(session, response, Evicted)
    }

    /// Is anybody there?
    pub fn ping(&self) -> Result<Pong> {
        let (session, response) = self.ask(&Request::Ping(Ping {}), &[], OnStop::Drop)?;
        answered!(session, response, Pong)
    }

    /// Asks about these.
    fn ask(&self, request: &Request, ids: &[ObjectId], on_stop: OnStop) -> Result<(Arc<Session>, Response)> {
        let session = self.session()?;
        check_ids(&session, ids.iter())?;
        let response = self.call(&session, request, on_stop)?;
        Ok((session, response))
    }
}

/// A request has only so many objects. The daemon takes one with the all-zero id for a frame that makes no sense, and hangs up.
pub(crate) fn check_ids<'a>(session: &Session, mut ids: impl ExactSizeIterator<Item = &'a ObjectId>) -> Result<()> {
    let (items, max) = (ids.len(), session.welcome.items_max);
    if items as u64 > u64::from(max) {
        return Err(Error::limit(format!(
            "{items} objects in one request are too many: ask for at most {max} at a time"
        )));
    }
    if ids.any(ObjectId::is_zero) {
        return Err(Error::invalid("the all-zero id names nothing: make ids by id::random or id::from_name"));
    }
    Ok(())
}

/// An answer has an item for each one asked for.
pub(crate) fn whole<T>(session: &Session, items: Vec<T>, asked: usize) -> Result<Vec<T>> {
    if items.len() == asked {
        return Ok(items);
    }
    let sentence = format!("the daemon answered {} of {asked} objects", items.len());
    Err(session.connection.refuse(&sentence))
}
