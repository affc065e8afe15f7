//! What the model cannot know, checked by rule: where objects lie, which of them make room.

use std::collections::BTreeSet;

use plasmad_core::SlotNumber;
use plasmad_core::event::Wanted;
use plasmad_wire::Extent;

use super::state::{Model, alignment, reserved};
use crate::support::{Checked, ensure};

impl Model {
    /// A new extent is what was asked for, lies inside the arena, aligned, on nobody's bytes.
    pub(super) fn check_placement(&self, extent: Extent, bytes: Option<u64>, beside: &[Extent]) -> Checked {
        ensure!(Some(extent.bytes) == bytes, "{extent:?} for {bytes:?} bytes");
        ensure!(extent.segment == 0, "{extent:?} is in no segment");
        if extent.bytes == 0 {
            return Ok(());
        }
        let end = extent.offset + reserved(extent.bytes);
        ensure!(extent.offset.is_multiple_of(alignment(extent.bytes)), "{extent:?} is not aligned");
        ensure!(end <= self.config.capacity_bytes, "{extent:?} leaves the arena");
        let taken = self.objects.values().map(|object| &object.record.extent).chain(beside);
        let taken = taken.chain(self.granted.values().map(|granted| &granted.extent));
        for other in taken.filter(|other| other.bytes > 0) {
            let apart = end <= other.offset || other.offset + reserved(other.bytes) <= extent.offset;
            ensure!(apart, "{extent:?} lies on {other:?}");
        }
        Ok(())
    }

    /// Unpinned objects that may be dropped, least recently used first.
    pub(super) fn candidates(&self) -> Vec<u32> {
        let pinned = self.pinned();
        self.recency.iter().copied().filter(|slot| !pinned.contains(slot)).collect()
    }

    /// Whatever the store dropped, it was allowed to.
    pub(super) fn check_droppable(&self, window: &[SlotNumber]) -> Checked {
        let pinned = self.pinned();
        let once: BTreeSet<SlotNumber> = window.iter().copied().collect();
        ensure!(once.len() == window.len(), "{window:?} names a slot twice");
        for slot in window {
            let object = self.objects.get(&slot.0);
            ensure!(object.is_some_and(|object| self.may_drop(object)), "{slot:?} was dropped: {object:?}");
            ensure!(!pinned.contains(&slot.0), "{slot:?} was dropped under a pin");
        }
        Ok(())
    }

    /// A create dropped these: it had to, none of them for nothing, and no younger ones than needed.
    pub(super) fn check_window(&self, objects: &[Wanted], window: &[SlotNumber]) -> Checked {
        self.check_droppable(window)?;
        let window: Vec<u32> = window.iter().map(|slot| slot.0).collect();
        ensure!(!window.is_empty() && !self.fits_for_sure(objects, &[]), "{window:?} was dropped for nothing");
        let candidates = self.candidates();
        let [wanted] = objects else {
            ensure!(candidates.starts_with(&window), "a batch dropped {window:?} of {candidates:?}");
            return Ok(());
        };
        let bytes = wanted.bytes().unwrap_or(u64::MAX);
        ensure!(!self.fits_one(bytes, &[]), "{window:?} was dropped although {bytes} bytes fit");
        ensure!(self.fits_one(bytes, &window), "{window:?} was dropped and made no room for {bytes} bytes");
        for spared in &window {
            let others: Vec<u32> = window.iter().copied().filter(|slot| slot != spared).collect();
            ensure!(!self.fits_one(bytes, &others), "{spared} was dropped for nothing, with {others:?}");
        }
        let enough = (0..=candidates.len()).find(|count| self.fits_one(bytes, &candidates[..*count]));
        let oldest = &candidates[..enough.unwrap_or(candidates.len())];
        ensure!(window.iter().all(|slot| oldest.contains(slot)), "{window:?} was dropped, {oldest:?} are enough");
        Ok(())
    }

    /// A create found no room: there was none, and none could be made.
    pub(super) fn check_no_room(&self, objects: &[Wanted]) -> Checked {
        let unused: Vec<u32> = self.unused_grants().into_iter().filter(|slot| !self.let_go.contains(slot)).collect();
        ensure!(unused.is_empty(), "a create waits while {unused:?} are granted and not used");
        let pinned = self.pinned();
        let unswept: Vec<&u32> = self.doomed.iter().filter(|slot| !pinned.contains(slot)).collect();
        ensure!(unswept.is_empty(), "a create waits while deleted objects {unswept:?} could be freed");
        // Who has let go and not rung yet will be heard.
        let candidates: Vec<u32> = self.candidates().into_iter().filter(|slot| !self.let_go.contains(slot)).collect();
        let fits = match objects {
            [wanted] => self.fits_one(wanted.bytes().unwrap_or(u64::MAX), &candidates),
            objects => self.fits_for_sure(objects, &candidates),
        };
        ensure!(
            !fits,
            "no room for {:?} without {candidates:?}",
            objects.iter().map(Wanted::bytes).collect::<Vec<_>>()
        );
        Ok(())
    }

    /// There is a hole for each of them in turn: the smallest that takes it.
    pub(super) fn fits_all(&self, objects: &[Wanted]) -> bool {
        let mut holes = self.holes_without(&[]);
        objects.iter().all(|wanted| {
            let bytes = wanted.bytes().unwrap_or(u64::MAX);
            let place = |(start, end): &(u64, u64)| {
                let at = start.next_multiple_of(alignment(bytes));
                (at <= *end && reserved(bytes) <= end - at).then_some(at)
            };
            let found = holes
                .iter()
                .enumerate()
                .filter_map(|(number, hole)| Some((hole.1 - hole.0, hole.0, number, place(hole)?)));
            let Some((_, start, number, at)) = found.min().filter(|_| bytes > 0) else { return bytes == 0 };
            let (_, end) = holes.swap_remove(number);
            let left = [(start, at), (at + reserved(bytes), end)];
            holes.extend(left.into_iter().filter(|(start, end)| start < end));
            true
        })
    }

    /// There is a hole for it when these slots are gone.
    pub(super) fn fits_one(&self, bytes: u64, gone: &[u32]) -> bool {
        let fits = |(start, end): (u64, u64)| {
            let at = start.next_multiple_of(alignment(bytes));
            at <= end && reserved(bytes) <= end - at
        };
        bytes == 0 || bytes <= self.config.capacity_bytes && self.holes_without(gone).into_iter().any(fits)
    }

    /// One hole takes all of it, wherever best fit starts: it never leaves that hole too small for the rest.
    fn fits_for_sure(&self, objects: &[Wanted], gone: &[u32]) -> bool {
        let padded = |wanted: &Wanted| {
            let bytes = wanted.bytes().filter(|bytes| *bytes <= self.config.capacity_bytes).unwrap_or(1 << 60);
            reserved(bytes) + if alignment(bytes) > 64 { alignment(bytes) } else { 0 }
        };
        let needed: u64 = objects.iter().map(padded).sum();
        self.holes_without(gone).into_iter().any(|(start, end)| needed <= end - start) || needed == 0
    }
}
