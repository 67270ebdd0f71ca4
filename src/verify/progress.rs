//! The line that tells how far the walk is, on a terminal. Elsewhere nothing is written: results and errors are all that scripts want.

use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::{Duration, Instant};

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(100);

/// Characters of the bar.
const BAR_WIDTH: usize = 24;

/// Writes to stderr, so that results on stdout stay whole.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Partitions there are. None: nobody watches.
    total: Option<u64>,
    drawn: Option<Instant>,
}

impl Progress {
    /// Begins, if stderr is a terminal.
    pub(super) fn begin(&mut self, partitions: u64) {
        self.total = stderr().is_terminal().then_some(partitions);
    }

    /// Draws, if it is time: `begun` partitions were begun, the last of them `place`, and `bytes` were read.
    pub(super) fn draw(&mut self, begun: u64, place: &str, bytes: u64) {
        let Some(total) = self.total else { return };
        if self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return;
        }
        self.drawn = Some(Instant::now());
        // Nobody may be reading.
        let _ = write!(stderr(), "\r{}\x1b[K", line(begun, total, place, bytes));
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}

fn line(begun: u64, total: u64, place: &str, bytes: u64) -> String {
    let done = begun.saturating_sub(1);
    let filled = (done * BAR_WIDTH as u64).checked_div(total).unwrap_or(0).min(BAR_WIDTH as u64) as usize;
    let (bar, rest) = ("█".repeat(filled), "░".repeat(BAR_WIDTH - filled));
    format!("{bar}{rest} {begun} of {total} partitions, {:.1} MB read, {place}", bytes as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_tells_what_is_done() {
        for (begun, total, filled) in [(1, 4, 0), (3, 4, 12), (4, 4, 18), (5, 4, 24), (0, 0, 0)] {
            let line = line(begun, total, "t-0", 1_500_000);
            assert_eq!(line.matches('█').count(), filled, "{line}");
            assert_eq!(line.matches(['█', '░']).count(), BAR_WIDTH, "{line}");
        }
        assert!(line(3, 4, "orders-2", 1_500_000).ends_with(" 3 of 4 partitions, 1.5 MB read, orders-2"));
    }

    #[test]
    fn nobody_is_told_who_does_not_watch() {
        let mut progress = Progress::default();
        progress.draw(1, "t-0", 5);
        assert!(progress.drawn.is_none());
    }
}
