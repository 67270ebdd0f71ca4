//! Waits for sockets and for moments, the latter to the microsecond: epoll's own timeout counts milliseconds.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token};

use super::BenchError;
use super::clock::{SECOND_NS, monotonic_ns};

/// Events taken at a time.
const EVENTS_MAX: usize = 1024;

const TIMER: Token = Token(usize::MAX);

/// What an event tells of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ready {
    pub(super) token: usize,
    pub(super) is_readable: bool,
    pub(super) is_writable: bool,
}

/// One epoll and one timer.
pub(super) struct Reactor {
    poll: Poll,
    events: Events,
    timer: File,
    /// For when the timer is set, ns; 0 for never.
    timer_ns: u64,
}

impl Reactor {
    pub(super) fn new() -> Result<Self, BenchError> {
        let make = || -> io::Result<Self> {
            let poll = Poll::new()?;
            // SAFETY: the call takes two numbers; its result is checked before it is used.
            let timer = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
            if timer < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just made and belongs to nobody else.
            let timer = unsafe { File::from_raw_fd(timer) };
            poll.registry().register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
            Ok(Self { poll, events: Events::with_capacity(EVENTS_MAX), timer, timer_ns: 0 })
        };
        make().map_err(BenchError::system("an event loop"))
    }

    pub(super) fn registry(&self) -> &Registry {
        self.poll.registry()
    }

    /// Waits until something is ready or the monotonic clock shows `until_ns`, and puts what is ready into `ready`.
    pub(super) fn wait(&mut self, until_ns: u64, ready: &mut Vec<Ready>) -> Result<(), BenchError> {
        ready.clear();
        let is_due = until_ns <= monotonic_ns();
        if !is_due && self.timer_ns != until_ns {
            self.set_timer(until_ns).map_err(BenchError::system("a timer"))?;
        }
        let timeout = is_due.then_some(std::time::Duration::ZERO);
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(BenchError::System { what: "waiting for sockets", error }),
        }
        for event in &self.events {
            if event.token() == TIMER {
                self.timer_ns = 0;
                continue;
            }
            ready.push(Ready {
                token: event.token().0,
                is_readable: event.is_readable() || event.is_read_closed() || event.is_error(),
                is_writable: event.is_writable(),
            });
        }
        Ok(())
    }

    fn set_timer(&mut self, until_ns: u64) -> io::Result<()> {
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let until = libc::timespec {
            tv_sec: (until_ns / SECOND_NS).cast_signed(),
            tv_nsec: (until_ns % SECOND_NS).cast_signed(),
        };
        let setting = libc::itimerspec { it_interval: never, it_value: until };
        // SAFETY: the descriptor is open, the pointer is to a whole itimerspec, and no old setting is asked for.
        let result = unsafe {
            libc::timerfd_settime(self.timer.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &setting, std::ptr::null_mut())
        };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        self.timer_ns = until_ns;
        Ok(())
    }
}
