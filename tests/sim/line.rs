//! Creates that wait, as those see it who ask: how much is served before the first.

use std::collections::BTreeMap;

use plasmad_core::event::Wanted;
use plasmad_core::queue::PASSED_BYTES_MIN;
use plasmad_core::{ClientId, Refusal, Reply};

use crate::support::{Checked, ensure};

/// All creates without an answer, in the order they came.
#[derive(Default)]
pub(super) struct Line {
    /// Who asked, under which number, for how many bytes.
    waiting: BTreeMap<i64, (Asked, u64)>,
    count: i64,
    /// What was served before this one, when it was the first of them.
    passed: (i64, u64),
    leaving: Option<ClientId>,
}

/// A client's request.
type Asked = (ClientId, u64);

impl Line {
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

    /// An answer, and whether it has passed the first by that: together no more do than that one asks for.
    pub(super) fn is_answered(&mut self, asked: Asked, reply: &Reply) -> Checked<bool> {
        let Some(place) = self.waiting.iter().find(|(_, it)| it.0 == asked).map(|(place, _)| *place) else {
            return Ok(false);
        };
        let (_, bytes) = self.waiting.remove(&place).expect("it was found");
        let has_room = matches!(reply, Reply::Created(_) | Reply::Done(_) | Reply::Refused(Refusal::FillFailed(_)));
        let first = self.waiting.first_key_value().filter(|(first, _)| has_room && **first < place);
        let Some((first, (whose, most))) = first else { return Ok(false) };
        if self.leaving == Some(whose.0) {
            return Ok(true);
        }
        let before = if self.passed.0 == *first { self.passed.1 } else { 0 };
        self.passed = (*first, before + bytes.max(PASSED_BYTES_MIN));
        ensure!(self.passed.1 <= *most, "{} bytes were served before {whose:?}, who asks for {most}", self.passed.1);
        Ok(true)
    }
}
