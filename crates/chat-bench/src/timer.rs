//! A timer that is exact to microseconds.
//!
//! Tokio's own is exact to a millisecond, which is longer than what is measured here. On Linux this
//! is a `timerfd`; elsewhere Tokio's will do.

use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

#[cfg(target_os = "linux")]
mod exact {
    use std::os::fd::OwnedFd;
    use std::task::ready;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    use super::{Context, Duration, Poll, io};

    #[derive(Debug)]
    pub(super) struct Inner(AsyncFd<OwnedFd>);

    impl Inner {
        #[expect(
            deprecated,
            reason = "its successor is unsafe, for descriptors that change hands; an OwnedFd does not"
        )]
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?).map(Self)
        }

        pub(super) fn set(&self, wait: Duration) -> io::Result<()> {
            const ZERO: Timespec = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            // Zero would mean never.
            let wait = wait.max(Duration::from_nanos(1));
            let value = Itimerspec {
                it_interval: ZERO,
                it_value: Timespec {
                    tv_sec: wait.as_secs().try_into().unwrap_or(i64::MAX),
                    tv_nsec: wait.subsec_nanos().into(),
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &value)?;
            Ok(())
        }

        pub(super) fn poll(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            let mut ready = ready!(self.0.poll_read_ready(context))?;
            // Setting it again clears the count of its expirations, so that nobody need read it.
            ready.clear_ready();
            Poll::Ready(Ok(()))
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod exact {
    use std::pin::Pin;

    use tokio::time::{Instant, Sleep, sleep};

    use super::{Context, Duration, Poll, io};

    #[derive(Debug)]
    pub(super) struct Inner(Pin<Box<Sleep>>);

    impl Inner {
        pub(super) fn new() -> io::Result<Self> {
            Ok(Self(Box::pin(sleep(Duration::ZERO))))
        }

        pub(super) fn set(&mut self, wait: Duration) -> io::Result<()> {
            self.0.as_mut().reset(Instant::now() + wait);
            Ok(())
        }

        pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.0.as_mut().poll(context).map(Ok)
        }
    }
}

/// Wakes a task at a time of the run.
#[derive(Debug)]
pub(crate) struct Timer {
    inner: exact::Inner,
    set_to_ns: Option<u64>,
}

impl Timer {
    /// One that is not set.
    ///
    /// # Errors
    /// No free file descriptor.
    pub(crate) fn new() -> io::Result<Self> {
        let inner = exact::Inner::new()?;
        Ok(Self {
            inner,
            set_to_ns: None,
        })
    }

    /// Ready once `at_ns` has come.
    pub(crate) fn poll_until(
        &mut self,
        context: &mut Context<'_>,
        now_ns: u64,
        at_ns: u64,
    ) -> Poll<io::Result<()>> {
        if at_ns <= now_ns {
            return Poll::Ready(Ok(()));
        }
        if self.set_to_ns != Some(at_ns) {
            self.inner.set(Duration::from_nanos(at_ns - now_ns))?;
            self.set_to_ns = Some(at_ns);
        }
        let polled = self.inner.poll(context);
        if polled.is_ready() {
            self.set_to_ns = None;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn it_fires_after_the_time_it_was_set_to_and_again_when_set_anew() {
        let clock = Clock::start();
        let mut timer = Timer::new().unwrap();
        for _ in 0..3 {
            let at_ns = clock.now_ns() + 3_000_000;
            while clock.now_ns() < at_ns {
                poll_fn(|context| timer.poll_until(context, clock.now_ns(), at_ns))
                    .await
                    .unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_time_that_has_passed_is_ready_at_once() {
        let mut timer = Timer::new().unwrap();
        poll_fn(|context| timer.poll_until(context, 5, 5))
            .await
            .unwrap();
    }
}
