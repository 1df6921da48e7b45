//! Why connections are closed; what clients are told of it is the protocol's.

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[error("the server closes the connection: {}", self.as_str())]
pub enum CloseReason {
    /// The node is going away.
    GoingAway,
    /// Its outbox is full: the client reads too slowly.
    TooSlow,
    /// It does not keep to the protocol.
    Protocol,
    /// A frame was larger than it may be.
    FrameTooLarge,
    /// Hello came late or was refused.
    Unauthenticated,
    /// Its identity ended.
    Expired,
    /// An operator closed it, or its identity was revoked.
    Disconnected,
    /// There are too many connections.
    TooMany,
    /// Its client left, or died.
    Gone,
}

impl CloseReason {
    /// In one word, for metrics and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::TooSlow => "too_slow",
            Self::Protocol => "protocol",
            Self::FrameTooLarge => "frame_too_large",
            Self::Unauthenticated => "unauthenticated",
            Self::Expired => "expired",
            Self::Disconnected => "disconnected",
            Self::TooMany => "too_many",
            Self::Gone => "gone",
        }
    }
}
