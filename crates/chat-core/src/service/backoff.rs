//! How long to wait before something that failed is tried again.

use std::time::Duration;

/// The longest first wait.
const FIRST: Duration = Duration::from_millis(50);
/// The longest wait, unless another one is asked for.
const LONGEST: Duration = Duration::from_secs(2);

/// Waits that double, each with full jitter: many who failed together do not come back together.
#[derive(Debug)]
pub(super) struct Backoff {
    ceiling: Duration,
    longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::up_to(LONGEST)
    }
}

impl Backoff {
    pub(super) fn up_to(longest: Duration) -> Self {
        Self {
            ceiling: FIRST,
            longest,
        }
    }

    /// The last attempt failed.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.ceiling.mul_f64(fastrand::f64())).await;
        self.ceiling = (self.ceiling * 2).min(self.longest);
    }

    /// The last attempt succeeded.
    pub(super) fn reset(&mut self) {
        self.ceiling = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_to_the_longest_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::up_to(Duration::from_millis(400));
        let mut longest = Vec::new();
        for _ in 0..6 {
            longest.push(backoff.ceiling);
            let began = Instant::now();
            backoff.wait().await;
            // The clock of a paused runtime has milliseconds.
            assert!(began.elapsed() <= longest[longest.len() - 1] + Duration::from_millis(1));
        }
        assert_eq!(
            longest,
            [50, 100, 200, 400, 400, 400].map(Duration::from_millis)
        );
        backoff.reset();
        assert_eq!(backoff.ceiling, FIRST);
    }
}
