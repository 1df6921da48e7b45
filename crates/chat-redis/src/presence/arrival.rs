//! Envelopes of people who come and go, in pieces: a script fills in the time and the count, which
//! only it knows, by joining bytes.

use chat_core::envelope::encode_signal;
use chat_core::{Arrival, InstanceId, RoomId, Signal, Topic, UserId};

/// Values that MessagePack writes with nine bytes, and that occur nowhere else in an envelope.
const AT: u64 = u64::MAX;
const COUNT: u64 = u64::MAX - 1;

/// The bytes before the time, between time and count, and behind the count.
pub(super) type Pieces = [Vec<u8>; 3];

/// The envelope of a user who came (`joined`) or left.
pub(super) fn pieces(origin: InstanceId, room: &RoomId, user: &UserId, joined: bool) -> Pieces {
    let arrival = Arrival {
        user: user.clone(),
        at_ms: AT,
        count: COUNT,
    };
    let signal = if joined {
        Signal::UserJoined(arrival)
    } else {
        Signal::UserLeft(arrival)
    };
    let envelope = encode_signal(origin, &Topic::Room(room.clone()), &signal);
    let (before, rest) = split(&envelope, AT);
    let (between, behind) = split(rest, COUNT);
    [before.to_vec(), between.to_vec(), behind.to_vec()]
}

fn split(bytes: &[u8], value: u64) -> (&[u8], &[u8]) {
    let value = value.to_be_bytes();
    let at = bytes
        .windows(8)
        .rposition(|word| word == value)
        .expect("an arrival carries its time and count as nine bytes each");
    (&bytes[..at], &bytes[at + 8..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::envelope::{Envelope, decode};

    #[test]
    fn filled_pieces_are_the_envelope_that_a_node_would_have_encoded() {
        let (origin, room) = (InstanceId::random(), RoomId::new("r").unwrap());
        for name in [
            "u".to_owned(),
            "u".repeat(31),
            "u".repeat(32),
            "u".repeat(128),
        ] {
            for joined in [true, false] {
                let user = UserId::new(&name).unwrap();
                let [before, between, behind] = pieces(origin, &room, &user, joined);
                let bytes = [
                    before,
                    7_u64.to_be_bytes().to_vec(),
                    between,
                    3_u64.to_be_bytes().to_vec(),
                    behind,
                ]
                .concat();
                let arrival = Arrival {
                    user,
                    at_ms: 7,
                    count: 3,
                };
                let signal = if joined {
                    Signal::UserJoined(arrival)
                } else {
                    Signal::UserLeft(arrival)
                };
                let decoded = decode(&Topic::Room(room.clone()), &bytes).unwrap();
                assert_eq!(decoded, Envelope::Signal { origin, signal });
            }
        }
    }
}
