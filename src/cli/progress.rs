//! How far a large copy is, for somebody who watches.
//!
//! Invariant: nothing is ever drawn but on a terminal, and what was drawn is wiped before the command ends.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::Output;

/// A copy under way.
pub(super) struct Progress {
    watched: bool,
    what: String,
    total_bytes: Option<u64>,
    done_bytes: u64,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Of `total_bytes`, where that is known.
    pub(super) fn new(output: &Output, what: impl ToString, total_bytes: Option<u64>) -> Self {
        let watched = io::stderr().is_terminal() && !output.quiet && !output.json;
        Self { watched, what: what.to_string(), total_bytes, done_bytes: 0, bar: None }
    }

    /// So many bytes more were copied.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.done_bytes += bytes as u64;
        if !self.watched || self.total_bytes.unwrap_or(self.done_bytes) < LARGE_BYTES {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(&self.what, self.total_bytes));
        bar.set_position(self.done_bytes);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(what: &str, total_bytes: Option<u64>) -> ProgressBar {
    let template = match total_bytes {
        Some(_) => "{msg} {bytes} of {total_bytes} {wide_bar} {bytes_per_sec}, {eta} left",
        None => "{msg} {bytes}, {bytes_per_sec}",
    };
    let style = ProgressStyle::with_template(template).expect("the template is right");
    ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr())
        .with_style(style)
        .with_message(what.to_owned())
}

/// Copied between two looks at the bar.
pub(super) const CHUNK_BYTES: usize = 8 << 20;
/// What is smaller is done before a bar could be seen.
const LARGE_BYTES: u64 = 64 << 20;
