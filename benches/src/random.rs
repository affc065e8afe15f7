//! Numbers without an order, the same in every run.

/// A counter whose bits are stirred.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Less than this.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// From 0 up to 1, without it.
    pub(crate) fn share(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        (1..items.len()).rev().for_each(|at| items.swap(at, self.below(at as u64 + 1) as usize));
    }

    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let stirred = (self.0 ^ (self.0 >> 31)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        let stirred = (stirred ^ (stirred >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        stirred ^ (stirred >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_below_a_bound_comes_about_equally_often() {
        let mut random = Random::new(1);
        let mut seen = [0u32; 7];
        (0..70_000).for_each(|_| seen[random.below(7) as usize] += 1);
        assert!(seen.iter().all(|count| (9_500..10_500).contains(count)), "{seen:?}");
        let mean = (0..10_000).map(|_| random.share()).sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "{mean}");
    }

    #[test]
    fn a_shuffled_list_has_all_it_had_in_another_order() {
        let mut list: Vec<u32> = (0..1000).collect();
        Random::new(1).shuffle(&mut list);
        assert!(list.iter().enumerate().filter(|(at, it)| *at as u32 == **it).count() < 20);
        list.sort_unstable();
        assert!(list.into_iter().eq(0..1000));
    }
}
