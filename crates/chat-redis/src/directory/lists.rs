//! Lists in pages: a room's members, a user's rooms, all rooms.

use chat_core::{
    DirectoryError, Marker, Member, MemberPage, Membership, Memberships, RoomId, RoomPage, UserId,
};
use redis::Value;

use super::answer::{self, order_of_score, role_of_score, room_id, user};
use super::{RedisDirectory, Result};
use crate::limits::SCAN_PAGE;
use crate::script;

impl RedisDirectory {
    pub(super) async fn page_of_members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage> {
        let (found, cursor) = self.scores_of_members(room, cursor, max).await?;
        let member = |(name, score): (String, f64)| {
            Ok(Member {
                user: user(&name)?,
                role: role_of_score(score)?,
            })
        };
        Ok(MemberPage {
            members: found.into_iter().map(member).collect::<Result<_>>()?,
            cursor,
        })
    }

    /// In the order in which they came: a cursor is the place of the last one.
    pub(super) async fn scores_of_members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<(Vec<(String, f64)>, Option<String>)> {
        let first = match cursor {
            Some(cursor) => {
                let behind: u64 = cursor.parse().map_err(|_| DirectoryError::BadCursor)?;
                4 * behind.min(1 << 50) + 4
            }
            None => 0,
        };
        let max = max.clamp(1, SCAN_PAGE);
        let mut range = redis::cmd("ZRANGEBYSCORE");
        range
            .arg(self.shared.keys.members(room))
            .arg(first)
            .arg("+inf")
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(0)
            // One more than asked for tells whether there is a next page.
            .arg(max + 1);
        let mut found: Vec<(String, f64)> = self.ask(range).await?;
        let more = found.len() > max;
        found.truncate(max);
        let last = found.last().filter(|_| more);
        let cursor = last.map(|(_, score)| order_of_score(*score).to_string());
        Ok((found, cursor))
    }

    /// In the order of their ids. A room that is about to come into being may be listed already:
    /// then a page has fewer.
    pub(super) async fn page_of_rooms(
        &self,
        cursor: Option<String>,
        max: usize,
    ) -> Result<RoomPage> {
        let from = match cursor {
            Some(last) => {
                let last = RoomId::new(last).map_err(|_| DirectoryError::BadCursor)?;
                format!("({last}")
            }
            None => "-".to_owned(),
        };
        let max = max.clamp(1, SCAN_PAGE);
        let mut range = redis::cmd("ZRANGEBYLEX");
        range
            .arg(self.shared.keys.rooms())
            .arg(from)
            .arg("+")
            .arg("LIMIT")
            .arg(0)
            .arg(max + 1);
        let mut names: Vec<String> = self.ask(range).await?;
        let more = names.len() > max;
        names.truncate(max);
        let cursor = names.last().filter(|_| more).cloned();
        let ids: Vec<RoomId> = names.iter().map(|id| room_id(id)).collect::<Result<_>>()?;
        let answers: Vec<Value> = self.ask_each(&ids, |id| self.access_call(id, None)).await?;
        let mut rooms = Vec::with_capacity(ids.len());
        for (id, answer) in ids.iter().zip(answers) {
            rooms.extend(answer::standing(id, answer)?.map(|(room, ..)| room));
        }
        Ok(RoomPage { rooms, cursor })
    }

    /// Asks each room that the user's list names, and takes out those of which he is no member.
    pub(super) async fn rooms_of(&self, user: &UserId, max: usize) -> Result<Memberships> {
        let mut found = Memberships::default();
        let mut last = String::new();
        loop {
            let wanted = (max - found.rooms.len()).min(SCAN_PAGE);
            let mut list = script::LIST.call(&self.shared.keys.of_user(user));
            list.arg(&last).arg(wanted);
            let (version, names): (u64, Vec<String>) = self.ask(list).await?;
            if last.is_empty() {
                // The first one: what changes while we read is found by it.
                found.version = version;
            }
            let ids: Vec<RoomId> = names.iter().map(|id| room_id(id)).collect::<Result<_>>()?;
            let strays = self.add_rooms(user, &ids, &mut found).await?;
            let strays: Vec<_> = strays.iter().map(|&room| (user, room, version)).collect();
            if let Err(error) = self.clean(&strays).await {
                tracing::debug!(%user, %error, "a list names rooms too many for now");
            }
            match names.into_iter().last() {
                Some(name) if ids.len() == wanted && found.rooms.len() < max => last = name,
                _ => return Ok(found),
            }
        }
    }

    /// Adds those of which the user is a member, and answers the others.
    async fn add_rooms<'a>(
        &self,
        user: &UserId,
        ids: &'a [RoomId],
        found: &mut Memberships,
    ) -> Result<Vec<&'a RoomId>> {
        let ask = |id: &RoomId| self.access_call(id, Some(user));
        let answers: Vec<Value> = self.ask_each(ids, ask).await?;
        let mut strays = Vec::new();
        for (id, answer) in ids.iter().zip(answers) {
            match answer::standing(id, answer)? {
                Some((room, Some(role), marker)) => {
                    found.rooms.push(Membership { room, role, marker });
                }
                _ => strays.push(id),
            }
        }
        Ok(strays)
    }

    pub(super) async fn markers_of(
        &self,
        room: &RoomId,
        max: usize,
    ) -> Result<Vec<(UserId, Marker)>> {
        let keys = &self.shared.keys;
        let mut call = script::MARKERS.call(&[keys.members(room), keys.markers(room)]);
        call.arg(max.clamp(1, SCAN_PAGE));
        let found: Vec<(String, String)> = self.ask(call).await?;
        let marker =
            |(name, marker): (String, String)| Ok((user(&name)?, answer::marker(&marker)?));
        found.into_iter().map(marker).collect()
    }
}
