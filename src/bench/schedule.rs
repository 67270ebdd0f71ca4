//! When each request is to be sent, decided before anything is. Pure.
//!
//! Latency counts from these times, not from when a request really went out (`wrk2`'s rule against coordinated omission): a
//! broker that stalls makes requests late, and lateness that the client hides is no measurement.

use super::random::Random;

/// How requests are spread over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arrival {
    /// The same time between any two.
    Constant,
    /// Independent of each other, as those of many clients are.
    Poisson,
}

impl Arrival {
    /// As on the command line.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Constant => "constant",
            Self::Poisson => "poisson",
        }
    }
}

/// Endless intended send times, rising.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    arrival: Arrival,
    start_ns: u64,
    interval_ns: f64,
    random: Random,
    /// Of the next request, counted from the start.
    next_ns: f64,
    /// Requests taken.
    taken: u64,
}

impl Schedule {
    /// `per_second` requests a second, more than 0; the first of a constant schedule is due at `start_ns`.
    pub(super) fn new(arrival: Arrival, per_second: f64, start_ns: u64, seed: u64) -> Self {
        let interval_ns = 1e9 / per_second;
        let mut schedule = Self { arrival, start_ns, interval_ns, random: Random::new(seed), next_ns: 0.0, taken: 0 };
        if arrival == Arrival::Poisson {
            schedule.next_ns = schedule.gap_ns();
        }
        schedule
    }

    /// When the next request is due, ns.
    pub(super) fn due_ns(&self) -> u64 {
        self.start_ns + self.next_ns as u64
    }

    /// Takes the next request, and answers when it is due.
    pub(super) fn take(&mut self) -> u64 {
        let due_ns = self.due_ns();
        self.taken += 1;
        self.next_ns = match self.arrival {
            // A product, not a sum: a sum's error grows with the run.
            Arrival::Constant => self.taken as f64 * self.interval_ns,
            Arrival::Poisson => self.next_ns + self.gap_ns(),
        };
        due_ns
    }

    fn gap_ns(&mut self) -> f64 {
        -self.random.unit().ln() * self.interval_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constant_times_lie_evenly_and_do_not_drift() {
        let mut schedule = Schedule::new(Arrival::Constant, 3.0, 100, 0);
        assert_eq!([schedule.take(), schedule.take(), schedule.take()], [100, 333_333_433, 666_666_766]);
        for _ in 3..3_000_000 {
            schedule.take();
        }
        assert_eq!(schedule.due_ns(), 100 + 1_000_000 * 1_000_000_000);
    }

    #[test]
    fn poisson_times_keep_the_rate_and_vary_as_they_should() {
        let mut schedule = Schedule::new(Arrival::Poisson, 1000.0, 0, 7);
        let times: Vec<u64> = (0..100_000).map(|_| schedule.take()).collect();
        let mean = times[times.len() - 1] as f64 / times.len() as f64;
        assert!((mean / 1e6 - 1.0).abs() < 0.02, "mean gap {mean} ns");
        let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        let deviation = variance.sqrt() / mean;
        assert!((deviation - 1.0).abs() < 0.03, "an exponential gap deviates by its mean, not {deviation}");
    }

    #[test]
    fn a_seed_gives_the_same_times_and_another_seed_others() {
        let times = |seed| {
            let mut schedule = Schedule::new(Arrival::Poisson, 10.0, 5, seed);
            (0..50).map(|_| schedule.take()).collect::<Vec<_>>()
        };
        assert_eq!(times(1), times(1));
        assert_ne!(times(1), times(2));
    }
}
