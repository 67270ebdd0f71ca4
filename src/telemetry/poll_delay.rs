//! How long a task that is ready waits for a thread of the runtime: the counterpart of Kafka's idle percentages, in the unit that clients
//! feel.
//!
//! A thread of its own hands a task in, as a socket that has become readable does, and takes the time until the task runs. It hands in
//! the next one only when that has run, so that nothing piles up where the runtime stands still.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

/// Between two tasks.
const INTERVAL: Duration = Duration::from_millis(250);

/// Starts the thread, which ends with `runtime`.
///
/// # Errors
/// The system has no thread left.
pub fn measure(runtime: Handle) -> std::io::Result<()> {
    let delays = metrics::histogram!(crate::metrics::RUNTIME_POLL_DELAY_SECONDS);
    std::thread::Builder::new().name("poll-delay".to_owned()).spawn(move || {
        while let Some(delay) = delay(&runtime) {
            delays.record(delay);
            std::thread::sleep(INTERVAL);
        }
    })?;
    Ok(())
}

/// None once the runtime has ended.
fn delay(runtime: &Handle) -> Option<Duration> {
    let (ran, running) = mpsc::channel();
    let ready_at = Instant::now();
    runtime.spawn(async move {
        // Whoever would hear of it waits below.
        let _ = ran.send(ready_at.elapsed());
    });
    running.recv().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_that_is_ready_waits_for_the_one_that_runs() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        runtime.spawn(async move {
            begun.send(()).expect("the test waits");
            released.recv().expect("the test releases it");
        });
        has_begun.recv().expect("it runs");
        let handle = runtime.handle().clone();
        let measuring = std::thread::spawn(move || delay(&handle));
        while runtime.metrics().global_queue_depth() == 0 {
            std::thread::yield_now();
        }
        // Of this time it is known that the task was handed in and could not run.
        let since = Instant::now();
        let held = loop {
            let held = since.elapsed();
            if held >= Duration::from_millis(5) {
                break held;
            }
            std::thread::yield_now();
        };
        release.send(()).expect("the task waits");
        let found = measuring.join().expect("no panic").expect("the runtime is there");
        assert!(found >= held, "{found:?} where it was held for {held:?}");
    }

    #[test]
    fn nothing_is_measured_once_the_runtime_has_ended() {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().expect("a runtime");
        let handle = runtime.handle().clone();
        runtime.shutdown_background();
        assert_eq!(delay(&handle), None);
    }
}
