//! Our copy beside `memcpy`, for every power of two from 64 B to 1 GiB. The row is the size where ours does worst.

use std::hint::black_box;
use std::time::Duration;

use plasmad_shm::copy::copy;

use super::large_puts::source;
use crate::bench::{Bench, Pair};
use crate::error::Result;
use crate::limits::CopyLoop;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};
use crate::statistics::ratio;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let source = source(1 << LARGEST);
    let mut memory = CopyLoop::new(1 << LARGEST)?;
    memory.touch();
    let mut pairs: Vec<(u32, Pair)> = (SMALLEST..=LARGEST).map(|power| (power, Pair::default())).collect();
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("copy_sweep", round, rounds)?;
        for (power, pair) in &mut pairs {
            bench.check()?;
            one_round(&source[..1 << *power], &mut memory, pair)?;
        }
    }
    let by_size: Vec<(u32, f64)> = pairs.iter().map(|(power, pair)| (*power, ratio_of(*power, pair))).collect();
    let (worst, _) = *by_size.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are sizes");
    let (power, pair) = &pairs[(worst - SMALLEST) as usize];
    let all: Vec<String> = by_size.iter().map(|(power, ratio)| format!("{} {ratio:.2}", size(*power))).collect();
    let row = Row::new("copy_sweep", Unit::GigabytesPerSecond(1 << power), &pair.ours)
        .reference("memcpy", &pair.theirs)
        .bar(Bar::ratio_min(0.95))
        .note(format!("worst at {}; ratios: {}", size(*power), all.join(", ")));
    Ok(vec![row])
}

/// Several short turns of each side: a disturbance is shorter than a round.
fn one_round(source: &[u8], memory: &mut CopyLoop, pair: &mut Pair) -> Result<()> {
    let batch = (BATCH_BYTES / source.len() as u64).max(1);
    let budget = Budget { time: TURN, ..Budget::batches(batch) };
    let (mut ours, mut theirs) = (Slice::default(), Slice::default());
    for turn in 0..TURNS {
        // Each goes first in every other turn.
        for is_ours in [turn % 2 == 0, turn % 2 == 1] {
            let copy: fn(&mut [u8], &[u8]) = if is_ours { copy } else { <[u8]>::copy_from_slice };
            let slice = Slice::run(budget, || {
                copy(memory.next_place(source.len()), black_box(source));
                Ok(())
            })?;
            let side = if is_ours { &mut ours } else { &mut theirs };
            side.add(slice.operations, slice.seconds);
        }
        // The largest fill a round with one turn each.
        if ours.seconds + theirs.seconds > ROUND_MAX.as_secs_f64() {
            break;
        }
    }
    pair.ours.push(ours);
    pair.theirs.push(theirs);
    Ok(())
}

fn ratio_of(power: u32, pair: &Pair) -> f64 {
    let unit = Unit::GigabytesPerSecond(1 << power);
    ratio(&unit.values(&pair.ours), &unit.values(&pair.theirs))
}

fn size(power: u32) -> String {
    match power {
        0..10 => format!("{} B", 1 << power),
        10..20 => format!("{} KiB", 1 << (power - 10)),
        20..30 => format!("{} MiB", 1 << (power - 20)),
        _ => format!("{} GiB", 1 << (power - 30)),
    }
}

/// 64 B.
const SMALLEST: u32 = 6;
/// 1 GiB.
const LARGEST: u32 = 30;
/// Between two looks at the clock.
const BATCH_BYTES: u64 = 64 << 10;
const TURN: Duration = Duration::from_millis(2);
const TURNS: u32 = 6;
const ROUND_MAX: Duration = Duration::from_millis(60);
/// Source and target.
pub(super) const MEMORY_BYTES: u64 = 2 << 30;
