//! Tells systemd where the process is (`sd_notify`): ready, stopping, alive. Nothing happens where nobody asked.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

/// The way to the service manager.
pub struct Notifier {
    socket: Option<(UnixDatagram, String)>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// What the variables say: `NOTIFY_SOCKET`, and `WATCHDOG_USEC` if it is meant for this process.
    pub fn from_environment() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let is_meant = variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        Self::new(variable("NOTIFY_SOCKET"), variable("WATCHDOG_USEC").filter(|_| is_meant))
    }

    fn new(path: Option<String>, watchdog_us: Option<String>) -> Self {
        // Names in the abstract name space begin with @; no service manager of today uses them for units.
        let path = path.filter(|path| path.starts_with('/'));
        let socket = path.and_then(|path| Some((UnixDatagram::unbound().ok()?, path)));
        let watchdog = watchdog_us.and_then(|us| us.parse().ok()).filter(|us| *us > 0).map(Duration::from_micros);
        Self { socket, watchdog }
    }

    /// Clients may come.
    pub fn ready(&self) {
        self.say("READY=1");
    }

    /// It was told to stop.
    pub fn stopping(&self) {
        self.say("STOPPING=1");
    }

    /// Says that the runtime turns, twice within the time after which the service manager would take it for hung. For ever.
    pub async fn keep_alive(&self) {
        let Some(watchdog) = self.watchdog else { return std::future::pending().await };
        loop {
            self.say("WATCHDOG=1");
            tokio::time::sleep(watchdog / 2).await;
        }
    }

    fn say(&self, what: &str) {
        if let Some((socket, path)) = &self.socket {
            // A service manager that does not listen has its own ideas of the process.
            let _ = socket.send_to(what.as_bytes(), path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_service_manager_nothing_is_said() {
        for path in [None, Some("@abstract".to_owned()), Some("relative".to_owned())] {
            let notifier = Notifier::new(path, Some("0".to_owned()));
            assert!(notifier.socket.is_none() && notifier.watchdog.is_none());
            notifier.ready();
        }
    }

    #[tokio::test]
    async fn the_service_manager_hears_of_each_step() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let manager = tokio::net::UnixDatagram::bind(&path).expect("a socket");
        let notifier = Notifier::new(Some(path.display().to_string()), Some("20000".to_owned()));
        let heard = async || {
            let mut buffer = [0; 64];
            let length = manager.recv(&mut buffer).await.expect("a datagram");
            String::from_utf8_lossy(&buffer[..length]).into_owned()
        };
        notifier.ready();
        assert_eq!(heard().await, "READY=1");
        // Twice, so that it goes on.
        let twice = async { [heard().await, heard().await] };
        tokio::select! {
            alive = twice => assert_eq!(alive, ["WATCHDOG=1", "WATCHDOG=1"]),
            () = notifier.keep_alive() => panic!("it never ends"),
        }
        notifier.stopping();
        while heard().await != "STOPPING=1" {}
    }
}
