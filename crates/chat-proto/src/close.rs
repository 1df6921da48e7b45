//! The close codes of a WebSocket, and which reason of the engine has which.

use chat_core::CloseReason;

/// Why the server closes a WebSocket, as clients tell it apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1001: the node is going away. Reconnect after the `goaway` spread, resume.
    GoingAway,
    /// 1012: the node restarts. As `GoingAway`.
    Restart,
    /// 1009: a frame was too large. Do not send it again.
    FrameTooLarge,
    /// 4000: protocol violation. Do not reconnect.
    Protocol,
    /// 4001: not authenticated, hello late or refused. Do not reconnect without a new token.
    Unauthenticated,
    /// 4002: token expired. Refresh it, reconnect, resume.
    Expired,
    /// 4003: an operator closed it, or it was revoked. Do not reconnect by itself.
    Disconnected,
    /// 4008: too slow. Reconnect, resume; twice in a minute: wait 10 s, join without a position.
    TooSlow,
    /// 4009: too many connections. Back off.
    TooMany,
}

impl CloseCode {
    /// The whole list.
    pub const ALL: [Self; 9] = [
        Self::GoingAway,
        Self::Restart,
        Self::FrameTooLarge,
        Self::Protocol,
        Self::Unauthenticated,
        Self::Expired,
        Self::Disconnected,
        Self::TooSlow,
        Self::TooMany,
    ];

    /// The number in the close frame.
    #[must_use]
    pub fn code(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::Restart => 1012,
            Self::FrameTooLarge => 1009,
            Self::Protocol => 4000,
            Self::Unauthenticated => 4001,
            Self::Expired => 4002,
            Self::Disconnected => 4003,
            Self::TooSlow => 4008,
            Self::TooMany => 4009,
        }
    }

    /// The text in the close frame, for people; at most 123 bytes, as RFC 6455 wants it.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::GoingAway => "node is going away",
            Self::Restart => "node restarts",
            Self::FrameTooLarge => "frame is too large",
            Self::Protocol => "protocol violation",
            Self::Unauthenticated => "not authenticated",
            Self::Expired => "token expired",
            Self::Disconnected => "disconnected by the server",
            Self::TooSlow => "client reads too slowly",
            Self::TooMany => "too many connections",
        }
    }

    /// The code with a number, if the list has it.
    #[must_use]
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    /// The code for a reason; nothing if there is nobody left to tell.
    #[must_use]
    pub fn for_reason(reason: CloseReason) -> Option<Self> {
        match reason {
            CloseReason::GoingAway => Some(Self::GoingAway),
            CloseReason::TooSlow => Some(Self::TooSlow),
            CloseReason::FrameTooLarge => Some(Self::FrameTooLarge),
            CloseReason::Protocol => Some(Self::Protocol),
            CloseReason::Unauthenticated => Some(Self::Unauthenticated),
            CloseReason::Expired => Some(Self::Expired),
            CloseReason::Disconnected => Some(Self::Disconnected),
            CloseReason::TooMany => Some(Self::TooMany),
            // `Gone`, and reasons that this list does not have yet: an abnormal close, after
            // which clients reconnect and resume.
            _ => None,
        }
    }

    /// Whether a client should connect again by itself.
    #[must_use]
    pub fn may_reconnect(self) -> bool {
        matches!(
            self,
            Self::GoingAway | Self::Restart | Self::Expired | Self::TooSlow | Self::TooMany
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_numbers_go_both_ways_and_texts_fit_a_close_frame() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
            assert!(code.text().len() <= 123);
        }
        assert_eq!(CloseCode::from_code(1000), None);
    }

    #[test]
    fn a_client_that_is_gone_is_told_nothing() {
        assert_eq!(CloseCode::for_reason(CloseReason::Gone), None);
        assert_eq!(
            CloseCode::for_reason(CloseReason::TooSlow).map(CloseCode::code),
            Some(4008)
        );
    }
}
