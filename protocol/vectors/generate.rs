//! Writes the golden frames: `cargo run -p plasmad-vectors`.

use plasmad_vectors::{FOLDER, documents};

fn main() -> std::io::Result<()> {
    for (name, text) in documents() {
        std::fs::write(format!("{FOLDER}/{name}"), text)?;
    }
    Ok(())
}
