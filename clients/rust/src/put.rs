//! Making objects: one, or many of which all appear or none.

use std::sync::Arc;

use plasmad_wire::codec::Blob;
use plasmad_wire::request::{Abort, Create, InlineObject, NewObject, Put, Seal};
use plasmad_wire::response::CreatedObject;
use plasmad_wire::value::Handle;
use plasmad_wire::{ObjectId, Request};

use crate::connection::OnStop;
use crate::error::{Error, Result};
use crate::options::CreateOptions;
use crate::pushing::Object;
use crate::session::Session;
use crate::store::Store;
use crate::verbs::{answered, check_ids, whole};
use crate::writer::Writer;

impl Store {
    /// Reserves an object of `data_bytes` bytes, invisible to everybody else until it is sealed.
    ///
    /// # Errors
    /// [`Error::Exists`] at once if the id is taken; [`Error::Full`] at once if it can never fit, else when the time
    /// is up.
    pub fn create(&self, data_bytes: u64, options: &CreateOptions) -> Result<Writer> {
        let session = self.session()?;
        let id = options.id.unwrap_or_else(|| session.ids.next());
        if let Some(created) = self.create_here(&session, id, data_bytes, options)? {
            return self.writer(&session, id, data_bytes, &created, options);
        }
        let mut writers = self.create_many(&session, &[(id, data_bytes)], options)?;
        writers.pop().ok_or_else(|| Error::protocol("the daemon created nothing"))
    }

    /// Makes a sealed object of these bytes.
    pub fn put(&self, data: &[u8], options: &CreateOptions) -> Result<ObjectId> {
        let session = self.session()?;
        let id = options.id.unwrap_or_else(|| session.ids.next());
        // An id that somebody chose may be taken: only the daemon knows.
        let is_put = options.id.is_none()
            && session.put_here(&object(id, data.len() as u64, options), data, self.interrupt())?;
        if !is_put {
            self.put_objects(&session, &[(id, data)], options)?;
        }
        Ok(id)
    }

    /// Makes sealed objects of these bytes, all or none; `ids` names them in their order. The id in `options` must
    /// be `None`; its metadata, format and mark are for each of them.
    pub fn put_many(&self, data: &[&[u8]], ids: Option<&[ObjectId]>, options: &CreateOptions) -> Result<Vec<ObjectId>> {
        if options.id.is_some() {
            return Err(Error::invalid("one id can't name many objects: pass a list of ids"));
        }
        if let Some(given) = ids.map(<[_]>::len).filter(|given| *given != data.len()) {
            return Err(Error::invalid(format!("{given} ids were given for {} objects", data.len())));
        }
        let session = self.session()?;
        let ids = ids.map_or_else(|| data.iter().map(|_| session.ids.next()).collect(), <[_]>::to_vec);
        let objects: Vec<_> = ids.iter().copied().zip(data.iter().copied()).collect();
        if !objects.is_empty() {
            self.put_objects(&session, &objects, options)?;
        }
        Ok(ids)
    }

    fn put_objects(
        &self,
        session: &Arc<Session>,
        objects: &[(ObjectId, &[u8])],
        options: &CreateOptions,
    ) -> Result<()> {
        let bytes: usize = objects.iter().map(|(_, data)| data.len() + options.metadata.len()).sum();
        if bytes as u64 <= INLINE_BYTES_MAX.min(session.welcome.put_inline_bytes_max) {
            return self.put_inline(session, objects, options);
        }
        let sizes: Vec<_> = objects.iter().map(|(id, data)| (*id, data.len() as u64)).collect();
        let mut writers = self.create_many(session, &sizes, options)?;
        for (writer, (_, data)) in writers.iter_mut().zip(objects) {
            writer.copy_from(0, data);
        }
        match writers.pop() {
            Some(writer) if writers.is_empty() => writer.seal().map(drop),
            last => self.seal_many(session, writers.into_iter().chain(last).collect()),
        }
    }

    /// One round trip, the bytes in the frame.
    fn put_inline(&self, session: &Session, objects: &[(ObjectId, &[u8])], options: &CreateOptions) -> Result<()> {
        check_ids(session, objects.iter().map(|(id, _)| id))?;
        let inline = |(id, data): &(ObjectId, &[u8])| InlineObject {
            id: *id,
            format: options.format,
            evictable: options.evictable,
            metadata: Blob(options.metadata.clone()),
            data: Blob(data.to_vec()),
        };
        let put = Put { timeout_ns: options.timeout.nanoseconds(), objects: objects.iter().map(inline).collect() };
        let response = self.call(session, &Request::Put(put), OnStop::Keep)?;
        answered!(session, response, Count).map(|_| ())
    }

    fn create_many(
        &self,
        session: &Arc<Session>,
        objects: &[(ObjectId, u64)],
        options: &CreateOptions,
    ) -> Result<Vec<Writer>> {
        check_ids(session, objects.iter().map(|(id, _)| id))?;
        let metadata_bytes = options.metadata.len();
        if metadata_bytes as u64 > session.welcome.metadata_bytes_max.into() {
            let max = session.welcome.metadata_bytes_max;
            return Err(Error::limit(format!(
                "metadata of {metadata_bytes} bytes is too long: at most {max} are allowed"
            )));
        }
        let new = |(id, data_bytes): &(ObjectId, u64)| NewObject {
            id: *id,
            data_bytes: *data_bytes,
            metadata_bytes: metadata_bytes as u32,
            format: options.format,
            evictable: options.evictable,
        };
        let create = Create { timeout_ns: options.timeout.nanoseconds(), objects: objects.iter().map(new).collect() };
        let response = self.call(session, &Request::Create(create), OnStop::Abort)?;
        let created = whole(session, answered!(session, response, Created)?.objects, objects.len())?;
        let writers = objects.iter().zip(&created);
        writers.map(|((id, data_bytes), created)| self.writer(session, *id, *data_bytes, created, options)).collect()
    }

    fn create_here(
        &self,
        session: &Session,
        id: ObjectId,
        data_bytes: u64,
        options: &CreateOptions,
    ) -> Result<Option<CreatedObject>> {
        match options.id {
            Some(_) => Ok(None),
            None => session.create_here(&object(id, data_bytes, options), self.interrupt()),
        }
    }

    fn writer(
        &self,
        session: &Arc<Session>,
        id: ObjectId,
        data_bytes: u64,
        created: &CreatedObject,
        options: &CreateOptions,
    ) -> Result<Writer> {
        let writer = Writer::new(self.clone(), session.clone(), id, created, data_bytes, options);
        writer.ok_or_else(|| session.connection.refuse("the daemon named an object outside its own memory"))
    }

    fn seal_many(&self, session: &Session, writers: Vec<Writer>) -> Result<()> {
        let handles: Vec<Handle> = writers.into_iter().map(Writer::into_handle).collect();
        let sealed = self.call(session, &Request::Seal(Seal { handles: handles.clone() }), OnStop::Keep);
        if sealed.is_err() {
            session.connection.tell(&Request::Abort(Abort { handles }));
        }
        answered!(session, sealed?, Count).map(|_| ())
    }
}

fn object(id: ObjectId, data_bytes: u64, options: &CreateOptions) -> Object<'_> {
    let CreateOptions { metadata, format, evictable, .. } = options;
    Object { id, data_bytes, metadata, format: *format, evictable: *evictable }
}

/// Up to here the bytes' way through the socket costs less than the second round trip.
const INLINE_BYTES_MAX: u64 = 64 * 1024;
