//! Warnings that repeat are written a few times and then counted: a client that comes back a thousand times a second with the same
//! mistake must not fill a disk, nor hide what else is said.
//!
//! A warning is recognised by where in the program it is made, whatever its values. What is left out is told by
//! [`Repetition::drain`], which a task asks for. Informations are few by their nature, and who asks for more wants all of it.

use std::collections::HashMap;
use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

/// How often one warning is written in [`WINDOW`].
const WRITTEN_MAX: u32 = 10;

/// Field of the event that tells how often something was left out; such an event never is.
const SUMMARY: &str = "repeated";

/// Time after which it is written again.
pub const WINDOW: Duration = Duration::from_secs(10);

/// What was written of each warning lately.
#[derive(Debug, Default, Clone)]
pub struct Repetition {
    /// By place in the program: as many as there are.
    windows: Arc<Mutex<HashMap<Identifier, Window>>>,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    written: u32,
    left_out: u64,
    /// Its message, once something was left out.
    message: String,
}

impl Window {
    fn begin(now: Instant) -> Self {
        Self { began: now, written: 0, left_out: 0, message: String::new() }
    }

    /// Whether one more is written.
    fn admits(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.began) >= WINDOW {
            // What was left out stays to be told.
            (self.began, self.written) = (now, 0);
        }
        let admits = self.written < WRITTEN_MAX;
        if admits {
            self.written += 1;
        } else {
            self.left_out += 1;
        }
        admits
    }
}

impl Repetition {
    /// Messages of which something was left out since this was last asked, and how many.
    pub fn drain(&self) -> Vec<(String, u64)> {
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let left_out = windows.values_mut().filter(|window| window.left_out > 0);
        left_out.map(|window| (window.message.clone(), std::mem::take(&mut window.left_out))).collect()
    }

    fn admits(&self, event: &Event<'_>, now: Instant) -> bool {
        if *event.metadata().level() > Level::WARN || event.metadata().fields().field(SUMMARY).is_some() {
            return true;
        }
        let mut windows = self.windows.lock().unwrap_or_else(PoisonError::into_inner);
        let window = windows.entry(event.metadata().callsite()).or_insert_with(|| Window::begin(now));
        let admits = window.admits(now);
        if !admits && window.message.is_empty() {
            event.record(&mut Message(&mut window.message));
        }
        admits
    }
}

impl<S: Subscriber> Layer<S> for Repetition {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        self.admits(event, Instant::now())
    }
}

/// Takes the message of an event.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a String cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn a_window_lets_some_through_and_counts_the_rest() {
        let began = Instant::now();
        let mut window = Window::begin(began);
        let written = (0..25).filter(|_| window.admits(began)).count();
        assert_eq!((written, window.left_out), (10, 15));
        assert!(!window.admits(began + WINDOW - Duration::from_millis(1)));
        assert!(window.admits(began + WINDOW));
        assert_eq!((window.written, window.left_out), (1, 16), "what was left out is still to be told");
    }

    /// Counts what comes through.
    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Written {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            let mut message = String::new();
            event.record(&mut Message(&mut message));
            self.0.lock().expect("one thread").push(message);
        }
    }

    #[test]
    fn warnings_are_held_back_each_for_itself_and_informations_are_not() {
        let (repetition, written) = (Repetition::default(), Written::default());
        let subscriber = tracing_subscriber::registry().with(repetition.clone()).with(written.clone());
        tracing::subscriber::with_default(subscriber, || {
            for peer in 0..30 {
                tracing::warn!(peer, "the same mistake");
                tracing::info!(peer, "news");
            }
            tracing::warn!("another one");
            for _ in 0..30 {
                tracing::warn!(repeated = "the same mistake", lines = 20, "a summary");
            }
        });
        let count =
            |message: &str| written.0.lock().expect("one thread").iter().filter(|written| *written == message).count();
        assert_eq!((count("the same mistake"), count("news"), count("another one")), (10, 30, 1));
        assert_eq!(count("a summary"), 30, "what tells of others is not left out itself");
        assert_eq!(repetition.drain(), [("the same mistake".to_owned(), 20)]);
        assert!(repetition.drain().is_empty(), "told once");
    }
}
