//! What each event means, and what requests that wait have in common.

use std::collections::{BTreeMap, BTreeSet};

use plasmad_core::clients::Ring;
use plasmad_core::queue::WaitKey;
use plasmad_core::store::WAITING_MAX;
use plasmad_core::{ClientId, Effect, Event, Nanos, Refusal, Reply, RequestTag, Verb};
use plasmad_wire::Role;

use super::state::{Client, Model, Purpose, Wait};
use super::transcript::Transcript;
use crate::support::{Call, Checked};

impl Model {
    /// Does what the core should have done about an event, and compares.
    pub(super) fn follow(&mut self, now: Nanos, event: Event, said: &mut Transcript) -> Checked {
        self.now = now;
        self.read_rings(said)?;
        match event {
            Event::ClientJoined { client, role, pushes } => {
                let ring = if pushes { Ring::Read } else { Ring::None };
                let (pins, in_vain) = (BTreeMap::new(), BTreeSet::new());
                let known = Client { role, connected: true, pins, asked_pins: 0, ring, busy_at: 0, in_vain };
                self.clients.insert(client, known);
            }
            Event::Asked { client, tag, verb } => self.asked(said, client, tag, verb)?,
            // The rest of it is what every event does: whoever waits for room is looked at.
            Event::Rung => {
                self.let_go.clear();
                self.sweep_due |= self.objects.values().any(|object| object.doomed);
            }
            Event::Cancelled { client, number } => {
                if let Some(tag) = self.subscription(client).filter(|tag| tag.number == number) {
                    self.subscribers.remove(&client);
                    self.answer(said, client, tag, Err(Refusal::Cancelled))?;
                }
                let mine = |wait: &Wait| wait.client == client && wait.tag.number == number;
                if let Some(number) = self.waits.iter().find(|(_, wait)| mine(wait)).map(|(number, _)| *number) {
                    let tag = self.waits.remove(&number).expect("it was found").tag;
                    self.answer(said, client, tag, Err(Refusal::Cancelled))?;
                }
            }
            Event::ConnectionClosed { client } => self.connection_closed(said, client)?,
            Event::ClientGone { client } => self.client_gone(said, client)?,
            Event::ErrandDone { .. } => unreachable!("nobody is sent on errands"),
            Event::Written { .. } | Event::Restored { .. } | Event::Adopted(_) => unreachable!("there is no disk"),
            Event::Tick => self.tick(said)?,
        }
        self.look_at_line(said)
    }

    fn asked(&mut self, said: &mut Transcript, client: ClientId, tag: RequestTag, verb: Verb) -> Checked {
        let Some(role) = self.clients.get(&client).map(|client| client.role) else { return Ok(()) };
        let changes = matches!(
            verb,
            Verb::Create { .. }
                | Verb::Seal { .. }
                | Verb::Abort { .. }
                | Verb::Delete { .. }
                | Verb::Evict { .. }
                | Verb::Grant { .. }
        );
        if changes && role == Role::Reader {
            return self.answer(said, client, tag, Err(Refusal::Denied));
        }
        let answer = match verb {
            Verb::Create { timeout_ns, objects } => return self.create(said, client, tag, timeout_ns, objects),
            Verb::Get { timeout_ns, partial, ids } => {
                return self.await_objects(said, client, tag, timeout_ns, Purpose::Get { partial, ids });
            }
            Verb::Wait { timeout_ns, count, ids } => {
                return self.await_objects(said, client, tag, timeout_ns, Purpose::Look { count, ids });
            }
            Verb::Seal { handles } => self.seal(said, client, &handles)?,
            Verb::Abort { handles } => self.abort(said, client, &handles)?,
            Verb::View { pin } => Err(Refusal::NotHeld(pin.handle)),
            Verb::Release { pins } => self.release(client, &pins),
            Verb::Delete { ids } => self.delete(said, &ids)?,
            Verb::Contains { ids } => Ok(self.present(&ids)),
            Verb::Stat { id } => self.stat(id),
            Verb::List { cursor, limit } => Ok(self.list(cursor, limit)),
            Verb::Subscribe { existing, queue_max } => self.subscribe(client, tag, existing, queue_max),
            Verb::Stats => return self.stats(said, client, tag),
            Verb::Evict { bytes } => Ok(self.evict(said, bytes)?),
            Verb::Grant { bytes, count } => self.grant(said, client, bytes, count)?,
            Verb::Lease { .. } => unreachable!("nobody forks here"),
        };
        self.answer(said, client, tag, answer)
    }

    /// The core gave this answer next.
    pub(super) fn answer(
        &mut self,
        said: &mut Transcript,
        client: ClientId,
        tag: RequestTag,
        answer: Result<Reply, Refusal>,
    ) -> Checked {
        self.totals.refused += u64::from(answer.is_err());
        self.seen.tables_full += u64::from(matches!(answer, Err(Refusal::TableFull { .. })));
        said.effect(Effect::Reply { client, tag, reply: answer.unwrap_or_else(Reply::Refused) })
    }

    pub(super) fn may_wait(&self, client: ClientId, tag: RequestTag) -> Result<(), Refusal> {
        let waiting: Vec<u64> = self.waits.values().filter(|it| it.client == client).map(|it| it.tag.number).collect();
        let subscription = self.subscription(client).map(|it| it.number);
        if waiting.iter().chain(&subscription).any(|number| *number == tag.number) {
            return Err(Refusal::Malformed("a request with this number is waiting already"));
        }
        if waiting.len() >= WAITING_MAX {
            return Err(Refusal::Limit { what: "requests of one client that wait", limit: WAITING_MAX as u64 });
        }
        Ok(())
    }

    pub(super) fn start_waiting(&mut self, client: ClientId, tag: RequestTag, timeout_ns: u64, purpose: Purpose) {
        let (since, deadline) = (self.now, self.deadline_after(timeout_ns));
        self.waits.insert(self.next_wait, Wait { client, tag, since, deadline, purpose });
        self.next_wait += 1;
    }

    /// Everything that is due is answered, by deadline; at one moment creates go first, each kind as it came.
    fn tick(&mut self, said: &mut Transcript) -> Checked {
        let key = |number: u64, wait: &Wait| match wait.purpose {
            Purpose::Create(_) => WaitKey::Create(number),
            Purpose::Get { .. } | Purpose::Look { .. } => WaitKey::Get(number),
        };
        let due = self.waits.iter().filter_map(|(number, wait)| Some((wait.deadline?, key(*number, wait))));
        let mut due: Vec<(Nanos, WaitKey)> = due.filter(|(deadline, _)| *deadline <= self.now).collect();
        due.sort_unstable();
        for (_, key) in due {
            match key {
                WaitKey::Create(number) => self.expire_create(said, number)?,
                WaitKey::Get(number) => {
                    // A create served at its deadline may have answered it meanwhile.
                    let Some(wait) = self.waits.remove(&number) else { continue };
                    self.answer_get(said, &wait)?;
                }
            }
        }
        if self.sweep_due {
            self.sweep(said)?;
        }
        self.take_back_from_the_idle(said)
    }

    fn connection_closed(&mut self, said: &mut Transcript, client: ClientId) -> Checked {
        self.waits.retain(|_, wait| wait.client != client);
        self.subscribers.remove(&client);
        let Some(known) = self.clients.get_mut(&client) else { return Ok(()) };
        known.connected = false;
        self.take_back(said, client)?;
        let known = &self.clients[&client];
        let claims_any = known.pins.values().any(|handle| self.is_current(*handle));
        if claims_any || !self.unsealed(client).is_empty() || !self.granted_to(client).is_empty() {
            return Ok(());
        }
        self.client_gone(said, client)
    }

    fn client_gone(&mut self, said: &mut Transcript, client: ClientId) -> Checked {
        self.waits.retain(|_, wait| wait.client != client);
        self.subscribers.remove(&client);
        let unsealed = self.unsealed(client);
        if self.clients.remove(&client).is_none() {
            return Ok(());
        }
        unsealed.into_iter().try_for_each(|slot| self.give_up(said, slot))?;
        self.take_back_from_the_dead(said, client)?;
        said.call(Call::Leave(client))?;
        self.sweep(said)?;
        said.effect(Effect::Forget { client })
    }
}
