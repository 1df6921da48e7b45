//! How many bad frames a connection may send: a mistake is answered, a flood is closed.

/// Counts bad frames.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BadFrames {
    left: u32,
}

impl BadFrames {
    pub(crate) fn new(max: u32) -> Self {
        Self { left: max }
    }

    /// Counts one more. Answers whether the connection lives.
    pub(crate) fn count(&mut self) -> bool {
        let lives = self.left > 0;
        self.left = self.left.saturating_sub(1);
        lives
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_twenty_first_bad_frame_closes() {
        let mut bad = BadFrames::new(20);
        assert!((0..20).all(|_| bad.count()));
        assert!(!bad.count());
        assert!(!bad.count());
    }
}
