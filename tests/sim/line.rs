//! Creates that wait, as those see it who ask: how much is served, or handed out, before the first.

use std::collections::BTreeMap;

use plasmad_core::event::Wanted;
use plasmad_core::queue::PASSED_BYTES_MIN;
use plasmad_core::{ClientId, Event, Refusal, Reply, Verb};

use super::turmoil::Seen;
use crate::support::{Checked, ensure};

/// All creates without an answer, in the order they came.
pub(super) struct Line {
    /// Who asked, under which number, for how many bytes.
    waiting: BTreeMap<i64, (Asked, u64)>,
    count: i64,
    /// What was served before this one, when it was the first of them.
    passed: (i64, u64),
    /// What may be served before the first, beside as much as it asks for.
    saved_bytes_max: u64,
    leaving: Option<ClientId>,
}

/// A client's request.
type Asked = (ClientId, u64);

impl Line {
    pub(super) fn new(saved_bytes_max: u64) -> Self {
        Self { waiting: BTreeMap::new(), count: 0, passed: (0, 0), saved_bytes_max, leaving: None }
    }

    /// Somebody asks, behind all others or before them.
    pub(super) fn joins(&mut self, asked: Asked, objects: &[Wanted], in_front: bool) {
        let bytes = objects.iter().fold(0_u64, |sum, wanted| sum.saturating_add(wanted.bytes().unwrap_or(u64::MAX)));
        self.count += 1;
        self.waiting.insert(if in_front { -self.count } else { self.count }, (asked, bytes));
    }

    /// A client leaves in this event: what is answered in it may have been before that or behind it.
    pub(super) fn is_leaving(&mut self, client: ClientId) {
        self.leaving = Some(client);
    }

    /// A client waits for nothing any more.
    pub(super) fn has_left(&mut self, client: ClientId) {
        self.waiting.retain(|_, (asked, _)| asked.0 != client);
        self.leaving = None;
    }

    /// An answer to a create, or to a request for grants: nobody may have been passed by more than may be.
    /// What deleted objects left since the last one did counts for them.
    pub(super) fn hears(
        &mut self,
        event: &Event,
        asked: Asked,
        reply: &Reply,
        seen: &mut Seen,
        left: &mut u64,
    ) -> Checked {
        let granted = match (event, reply) {
            (Event::Asked { client, tag, verb: Verb::Grant { bytes, .. } }, Reply::Done(count))
                if (*client, tag.number) == asked =>
            {
                bytes * u64::from(*count)
            }
            _ => 0,
        };
        if let Some(first) = self.waiting.first_key_value().map(|(first, _)| *first).filter(|_| granted > 0) {
            seen.grants_that_passed += 1;
            return self.passes(first, granted, left);
        }
        let Some(place) = self.waiting.iter().find(|(_, it)| it.0 == asked).map(|(place, _)| *place) else {
            return Ok(());
        };
        let (_, bytes) = self.waiting.remove(&place).expect("it was found");
        let has_room = matches!(reply, Reply::Created(_) | Reply::Done(_) | Reply::Refused(Refusal::FillFailed(_)));
        let first = self.waiting.first_key_value().map(|(first, _)| *first);
        let Some(first) = first.filter(|first| has_room && *first < place) else { return Ok(()) };
        seen.creates_that_passed += 1;
        self.passes(first, bytes, left)
    }

    /// Together no more bytes pass the first than it asks for, what may be saved, and what deleted objects left
    /// meanwhile.
    fn passes(&mut self, first: i64, bytes: u64, left: &mut u64) -> Checked {
        let (whose, asked) = self.waiting[&first];
        if self.leaving == Some(whose.0) {
            return Ok(());
        }
        let before = if self.passed.0 == first { self.passed.1 } else { 0 };
        let most = asked.saturating_add(self.saved_bytes_max);
        let passed = (before + bytes.max(PASSED_BYTES_MIN)).saturating_sub(std::mem::take(left));
        self.passed = (first, passed);
        ensure!(passed <= most, "{passed} bytes were served before {whose:?}, who asks for {asked}: {most} may be");
        Ok(())
    }
}
