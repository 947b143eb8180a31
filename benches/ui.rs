//! `cargo bench --bench ui`: the cost of the screens with a run of a million steps; medians.

fn main() {
    println!("a run of 1 000 000 steps");
    let mut failed = false;
    for measured in fireside::ui::bench::measure(1_000_000, fireside::kernel::memory::give_back) {
        let verdict = if measured.passes() { "ok" } else { "TOO MUCH" };
        failed |= !measured.passes();
        println!(
            "{:32} {:9.3} {:4} (at most {:6.1}) {verdict}",
            measured.name, measured.value, measured.unit, measured.limit
        );
    }
    if failed {
        std::process::exit(1);
    }
}
