//! What a cache is asked for, from a seed.

use crate::support::Random;

/// Keys in the order in which they are asked for.
#[derive(Debug)]
pub(super) struct Trace {
    /// What it is called.
    pub(super) name: &'static str,
    /// The keys.
    pub(super) keys: Vec<u32>,
}

impl Trace {
    /// Gets of five times as many objects as are kept, by Zipf's law.
    pub(super) fn zipf(seed: u64, kept: u32, gets: usize) -> Self {
        let mut random = Random(seed);
        let zipf = Zipf::new(5 * kept);
        Self { name: "zipf", keys: (0..gets).map(|_| zipf.key(&mut random)).collect() }
    }

    /// Gets of three quarters as many objects as are kept, by Zipf's law; now and then half of them are a scan of objects
    /// that nobody asks for again.
    pub(super) fn scans(seed: u64, kept: u32, gets: usize) -> Self {
        let mut random = Random(seed);
        let zipf = Zipf::new(kept / 4 * 3);
        let mut scanned = kept;
        let keys = (0..gets).map(|at| {
            let is_scanning = at / kept as usize % 2 == 1;
            if !is_scanning || random.percent(50) {
                return zipf.key(&mut random);
            }
            scanned += 1;
            scanned
        });
        Self { name: "scans", keys: keys.collect() }
    }
}

/// Keys that are asked for the more often the lower they are: key k in proportion to 1 / (k + 1).
struct Zipf {
    /// Sums of the weights up to each key.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(keys: u32) -> Self {
        let add = |sum: &mut f64, key: u32| {
            *sum += 1.0 / f64::from(key + 1);
            Some(*sum)
        };
        Self { sums: (0..keys).scan(0.0, add).collect() }
    }

    fn key(&self, random: &mut Random) -> u32 {
        let part = (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
        let point = part * self.sums[self.sums.len() - 1];
        self.sums.partition_point(|sum| *sum <= point) as u32
    }
}
