//! A row whose bar is always missed: proof that a missed bar is told.

use crate::bench::Bench;
use crate::error::Result;
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let budget = Budget { operations_max: 1, ..Budget::EACH };
    let rounds = bench.rounds();
    let pair = bench.pair("canary", rounds, || Slice::run(budget, || Ok(())), || Slice::run(budget, || Ok(())))?;
    let row = Row::new("canary", Unit::Nanoseconds, &pair.ours).reference("the same", &pair.theirs);
    Ok(vec![row.bar(Bar::value_max(-1.0)).note("nothing takes less than no time")])
}
