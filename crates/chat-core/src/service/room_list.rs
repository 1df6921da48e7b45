//! The rooms of a user, latest first, a page at a time.
//!
//! Three questions, however many rooms: which they are, where their logs stand, and what is unread
//! in those of the page. Pages do not shift while rooms move: a room that becomes active meanwhile
//! comes to the front, of which the user is told by events, and none is shown twice below it.

use std::cmp::Reverse;
use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::answer::{Answer, ListedRoom, RoomList};
use crate::directory::Membership;
use crate::error::ServiceError;
use crate::ids::RoomId;
use crate::limits::{PAGE_BYTES_MAX, PAGE_MAX, ROOMS_LISTED, USER_ROOMS_MAX};
use crate::message::Millis;
use crate::room_log::{Head, Unread};
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::unread::Life;

/// Rooms whose heads are asked for at once.
const HEADS_BATCH: usize = 500;

/// A room's place in the list: later ones first, of those of one time in the order of their ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    at: Reverse<Millis>,
    room: RoomId,
}

impl Place {
    fn encode(&self) -> String {
        let mut bytes = self.at.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.room.as_str().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn decode(cursor: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let (at, room) = bytes.split_first_chunk()?;
        let room = std::str::from_utf8(room).ok()?;
        Some(Self {
            at: Reverse(Millis::from_be_bytes(*at)),
            room: RoomId::new(room).ok()?,
        })
    }
}

impl Inner {
    pub(super) async fn list_rooms(
        &self,
        connection: &Connection,
        cursor: Option<String>,
        limit: Option<usize>,
    ) -> Result<Answer, ServiceError> {
        let after = match cursor.as_deref().map(Place::decode) {
            None => None,
            Some(Some(place)) => Some(place),
            Some(None) => {
                let reason = "is none that this server handed out";
                return Err(ServiceError::bad_request("cursor", reason));
            }
        };
        let max = limit.unwrap_or(ROOMS_LISTED).clamp(1, PAGE_MAX);
        connection.outbox.has_room().await;
        self.until_told(connection).await;
        let mut rooms = self.places(connection).await?;
        rooms.sort_by(|(a, ..), (b, ..)| a.cmp(b));
        let from = after.map_or(0, |after| {
            rooms.partition_point(|(place, ..)| *place <= after)
        });
        rooms.drain(..from);
        let mut more = rooms.len() > max;
        rooms.truncate(max);
        let unread = self.unread_of(connection, &rooms).await?;

        let mut list = RoomList::default();
        let (mut bytes, mut last) = (0, None);
        for ((place, membership, _), unread) in rooms.into_iter().zip(unread) {
            let listed = listed(membership, unread);
            bytes += listed.size_hint();
            if bytes > PAGE_BYTES_MAX && last.is_some() {
                more = true;
                break;
            }
            list.rooms.push(listed);
            last = Some(place);
        }
        list.cursor = last.filter(|_| more).map(|last| last.encode());
        Ok(Answer::Rooms(list))
    }

    /// The user's rooms, each with its place and where its log stands.
    async fn places(
        &self,
        connection: &Connection,
    ) -> Result<Vec<(Place, Membership, Option<Head>)>, ServiceError> {
        // All of them, however many a node follows: which come first is known only then.
        let all = self.directory.memberships(&connection.user, USER_ROOMS_MAX);
        let memberships = all.await;
        let memberships = memberships.map_err(|error| {
            tracing::warn!(user = %connection.user, %error, "cannot list rooms");
            ServiceError::unavailable("the directory")
        })?;
        let (identity, mut rooms) = (connection.identity(), memberships.rooms);
        rooms.retain(|it| identity.permits(&it.room.id));
        let ids: Vec<_> = rooms.iter().map(|it| it.room.id.clone()).collect();
        let heads = self.heads_of(&ids).await?;
        let places = rooms.into_iter().zip(heads);
        let places = places.map(|(membership, head)| {
            let at = head.map_or(membership.room.created_at_ms, |head| head.at_ms);
            let place = Place {
                at: Reverse(at),
                room: membership.room.id.clone(),
            };
            (place, membership, head)
        });
        Ok(places.collect())
    }

    /// Where the logs of many rooms stand, in the order asked.
    pub(super) async fn heads_of(
        &self,
        rooms: &[RoomId],
    ) -> Result<Vec<Option<Head>>, ServiceError> {
        let mut heads = Vec::with_capacity(rooms.len());
        for batch in rooms.chunks(HEADS_BATCH) {
            let mut batch_heads = self.stored(self.log.heads(batch).await)?;
            batch_heads.resize(batch.len(), None);
            heads.extend(batch_heads);
        }
        Ok(heads)
    }

    async fn unread_of(
        &self,
        connection: &Connection,
        rooms: &[(Place, Membership, Option<Head>)],
    ) -> Result<Vec<Unread>, ServiceError> {
        let asked = rooms.iter().filter_map(|(_, membership, head)| {
            let read = Life::from(head.as_ref()?).read_by(membership.marker);
            Some((membership.room.id.clone(), read))
        });
        let asked: Vec<_> = asked.collect();
        if asked.is_empty() {
            return Ok(vec![Unread::default(); rooms.len()]);
        }
        let answered = self.stored(self.log.unread(&connection.user, &asked).await)?;
        let ids = asked.into_iter().map(|(room, _)| room);
        let mut by_id: HashMap<_, _> = ids.zip(answered).collect();
        let unread = rooms
            .iter()
            .map(|(place, ..)| by_id.remove(&place.room).unwrap_or_default());
        Ok(unread.collect())
    }
}

fn listed(membership: Membership, unread: Unread) -> ListedRoom {
    ListedRoom {
        room: membership.room,
        role: membership.role,
        unread: unread.unread,
        mentions: unread.mentions,
        last_message: unread.last,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(at: Millis, room: &str) -> Place {
        Place {
            at: Reverse(at),
            room: RoomId::new(room).unwrap(),
        }
    }

    #[test]
    fn later_rooms_come_first_and_those_of_one_time_in_the_order_of_their_ids() {
        let mut places = [place(1, "a"), place(2, "c"), place(2, "b")];
        places.sort();
        assert_eq!(places, [place(2, "b"), place(2, "c"), place(1, "a")]);
    }

    #[test]
    fn a_cursor_survives_the_wire_and_garbage_is_none() {
        let place = place(1 << 40, "a:b@c");
        assert_eq!(Place::decode(&place.encode()), Some(place));
        for garbage in ["", "!", "AAAA", "AAAAAAAAAAA", "AAAAAAAAAAAg"] {
            assert_eq!(Place::decode(garbage), None, "{garbage}");
        }
    }
}
