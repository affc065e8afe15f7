fn main() {
    for seed in 0..10 {
        let start = std::time::Instant::now();
        println!("{seed}: {:?} {:?}", plasmad_core::arena::fill::run(seed, 1 << 30, 1_000_000), start.elapsed());
    }
}
