//! Getting sealed objects.

use std::sync::Arc;

use plasmad_wire::request::{Get, View};
use plasmad_wire::response::GotObject;
use plasmad_wire::value::{GetStatus, Pin};
use plasmad_wire::{ObjectId, Request};

use crate::buffer::Buffer;
use crate::connection::OnStop;
use crate::error::{Error, Pending, Result};
use crate::pinned::Pinned;
use crate::session::Session;
use crate::store::Store;
use crate::timeout::Timeout;
use crate::verbs::{answered, check_ids, whole};

impl Store {
    /// Waits until the object is sealed, and pins it; no byte is copied. If memory has no room for one that is on disk,
    /// the buffer is a mapping of the file that it lies in.
    ///
    /// # Errors
    /// [`Error::Timeout`] when the time is up.
    pub fn get(&self, id: ObjectId, timeout: impl Into<Timeout>) -> Result<Buffer> {
        if let Some(buffer) = self.get_without_asking(id)? {
            return Ok(buffer);
        }
        let mut buffers = self.get_many(&[id], timeout)?;
        buffers.pop().ok_or_else(|| Error::protocol("the daemon answered a get without an object"))
    }

    /// Pins the object if that can be done without the daemon, and waits for nothing: some hundred nanoseconds at most.
    /// `None` proves nothing; [`Self::get`] asks.
    pub fn get_without_asking(&self, id: ObjectId) -> Result<Option<Buffer>> {
        let session = self.session()?;
        let pinned = session.pin(&id);
        Ok(pinned.map(|pinned| Buffer::new(session, id, pinned)))
    }

    /// Waits until all objects are sealed, and pins all or none. Order is kept, repeats are allowed.
    ///
    /// # Errors
    /// [`Error::Timeout`], with what was missing, when the time is up.
    pub fn get_many(&self, ids: &[ObjectId], timeout: impl Into<Timeout>) -> Result<Vec<Buffer>> {
        if let Some(buffers) = self.get_all_there(ids)? {
            return Ok(buffers);
        }
        let (session, objects) = self.get_objects(ids, timeout.into(), false)?;
        let missing = ids.iter().zip(&objects).filter_map(|(id, object)| Some((*id, pending(object.status)?)));
        let missing: Vec<_> = missing.collect();
        let buffers = self.buffers(&session, ids, &objects)?.into_iter().flatten().collect();
        if missing.is_empty() { Ok(buffers) } else { Err(Error::Timeout { pending: missing }) }
    }

    /// As [`Self::get_many`], but when the time is up gives what is there, and `None` for the rest.
    pub fn get_partial(&self, ids: &[ObjectId], timeout: impl Into<Timeout>) -> Result<Vec<Option<Buffer>>> {
        if let Some(buffers) = self.get_all_there(ids)? {
            return Ok(buffers.into_iter().map(Some).collect());
        }
        let (session, objects) = self.get_objects(ids, timeout.into(), true)?;
        self.buffers(&session, ids, &objects)
    }

    /// All of them, if none has to be asked for.
    fn get_all_there(&self, ids: &[ObjectId]) -> Result<Option<Vec<Buffer>>> {
        let session = self.session()?;
        let buffer = |id: &ObjectId| Some(Buffer::new(session.clone(), *id, session.pin(id)?));
        Ok(ids.iter().map(buffer).collect())
    }

    fn get_objects(&self, ids: &[ObjectId], timeout: Timeout, partial: bool) -> Result<(Arc<Session>, Vec<GotObject>)> {
        let session = self.session()?;
        if ids.is_empty() {
            return Ok((session, Vec::new()));
        }
        check_ids(&session, ids.iter())?;
        let request = Request::Get(Get { timeout_ns: timeout.nanoseconds(), partial, ids: ids.to_vec() });
        let response = self.call(&session, &request, OnStop::Release)?;
        let objects = whole(&session, answered!(session, response, Got)?.objects, ids.len())?;
        Ok((session, objects))
    }

    /// The pins of an answer as buffers that give them back, or none of them.
    fn buffers(&self, session: &Arc<Session>, ids: &[ObjectId], objects: &[GotObject]) -> Result<Vec<Option<Buffer>>> {
        let mut buffers = Vec::with_capacity(ids.len());
        for (at, (id, object)) in ids.iter().zip(objects).enumerate() {
            match self.pinned(session, object) {
                Ok(pinned) => buffers.push(pinned.map(|pinned| Buffer::new(session.clone(), *id, pinned))),
                // The pins before this one go with their buffers.
                Err(error) => {
                    session.connection.release(&objects[at..]);
                    return Err(error);
                }
            }
        }
        Ok(buffers)
    }

    fn pinned(&self, session: &Session, object: &GotObject) -> Result<Option<Pinned>> {
        match object.status {
            GetStatus::Pinned => match session.adopt(object) {
                Some(pinned) => Ok(Some(pinned)),
                None => Err(session.connection.refuse("the daemon named an object outside its own memory")),
            },
            GetStatus::OnDisk => self.view(session, object.pin).map(Some),
            GetStatus::Absent | GetStatus::Unsealed | GetStatus::Restoring | GetStatus::Present => Ok(None),
        }
    }

    /// Maps an object that is pinned where it lies on disk.
    fn view(&self, session: &Session, pin: Pin) -> Result<Pinned> {
        let request = Request::View(View { pin });
        let (response, file) = session.connection.call_for_descriptor(&request, self.interrupt())?;
        let location = answered!(session, response, Viewed)?.location;
        match file {
            Some(file) => session.adopt_view(pin, location, file),
            None => Err(session.connection.refuse("the daemon told of a file, and sent none")),
        }
    }
}

fn pending(status: GetStatus) -> Option<Pending> {
    match status {
        GetStatus::Pinned | GetStatus::OnDisk | GetStatus::Present => None,
        GetStatus::Absent => Some(Pending::Absent),
        GetStatus::Unsealed => Some(Pending::Unsealed),
        GetStatus::Restoring => Some(Pending::Restoring),
    }
}
