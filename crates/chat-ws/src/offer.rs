//! Which codec a client wants, from the subprotocols that it offers.

use chat_proto::Codec;

/// What came of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Nothing was offered: JSON, and the answer names no subprotocol.
    Default,
    /// The first one of the client's list that this server speaks.
    Chosen(Codec),
    /// Subprotocols were offered, and this server speaks none of them.
    None,
}

/// Chooses from the values of all `Sec-WebSocket-Protocol` headers.
pub(crate) fn choose<'a>(headers: impl IntoIterator<Item = &'a str>) -> Choice {
    let mut offers = headers
        .into_iter()
        .flat_map(|header| header.split(','))
        .map(str::trim)
        .filter(|offer| !offer.is_empty())
        .peekable();
    if offers.peek().is_none() {
        return Choice::Default;
    }
    offers
        .find_map(Codec::from_subprotocol)
        .map_or(Choice::None, Choice::Chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_offers_nothing_speaks_json() {
        assert_eq!(choose([]), Choice::Default);
        assert_eq!(choose([" , "]), Choice::Default);
    }

    #[test]
    fn the_client_s_order_decides() {
        let json_first = ["chat.v1.json, chat.v1.msgpack"];
        let msgpack_first = ["other", "chat.v1.msgpack,chat.v1.json"];
        assert_eq!(choose(json_first), Choice::Chosen(Codec::Json));
        assert_eq!(choose(msgpack_first), Choice::Chosen(Codec::MsgPack));
    }

    #[test]
    fn offers_without_one_of_ours_are_refused() {
        assert_eq!(choose(["graphql-ws, chat.v2.json"]), Choice::None);
    }
}
