//! Everything listed, and put into another directory.

use async_trait::async_trait;
use chat_core::limits::EDIT_PEOPLE_MAX;
use chat_core::{
    DirectoryError, DirectoryTransfer, Listed, Marker, Member, MemberRecord, PersonRecord, Room,
    RoomId, RoomRecord, UserId,
};
use redis::Value;

use super::answer::{self, accepted, damaged, order_of_score, role_number, role_of_score};
use super::steps::{hex, optional};
use super::{RedisDirectory, Result};
use crate::limits::{PIPELINE_CHUNK, SCAN_PAGE};
use crate::script;

#[async_trait]
impl DirectoryTransfer for RedisDirectory {
    async fn fingerprints(&self, rooms: &[RoomId]) -> Result<Vec<Option<[u8; 16]>>> {
        let get = |room: &RoomId| {
            let mut get = redis::cmd("HGET");
            get.arg(self.shared.keys.facts(room)).arg("fingerprint");
            get
        };
        let found: Vec<Option<String>> = self.ask_each(rooms, get).await?;
        let parse = |hex: Option<String>| hex.map(|hex| fingerprint(&hex)).transpose();
        found.into_iter().map(parse).collect()
    }

    async fn member_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<MemberRecord>> {
        let (found, cursor) = self.scores_of_members(room, cursor, max).await?;
        let record = |(name, score): (String, f64)| {
            Ok(MemberRecord {
                member: Member {
                    user: answer::user(&name)?,
                    role: role_of_score(score)?,
                },
                since_ms: order_of_score(score),
            })
        };
        let items = found.into_iter().map(record).collect::<Result<_>>()?;
        Ok(Listed { items, cursor })
    }

    async fn marker_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<(UserId, Marker)>> {
        let mut scan = redis::cmd("HSCAN");
        scan.arg(self.shared.keys.markers(room))
            .arg(place(cursor)?)
            .arg("COUNT")
            .arg(max.clamp(1, SCAN_PAGE));
        let (next, found): (u64, Vec<(String, String)>) = self.ask(scan).await?;
        let marker =
            |(name, marker): (String, String)| Ok((answer::user(&name)?, answer::marker(&marker)?));
        Ok(Listed {
            items: found.into_iter().map(marker).collect::<Result<_>>()?,
            cursor: (next > 0).then(|| next.to_string()),
        })
    }

    /// By looking at every key: there is no list of all users, because nothing else needs one.
    async fn people(&self, cursor: Option<String>, max: usize) -> Result<Listed<PersonRecord>> {
        let keys = &self.shared.keys;
        let mut scan = redis::cmd("SCAN");
        scan.arg(place(cursor)?)
            .arg("MATCH")
            .arg(keys.about_everybody())
            .arg("COUNT")
            .arg(max.clamp(1, SCAN_PAGE));
        let (next, found): (u64, Vec<String>) = self.ask(scan).await?;
        let names = found.iter().filter_map(|key| keys.whose_about(key));
        let users: Vec<UserId> = names.map(answer::user).collect::<Result<_>>()?;
        let get = |user: &UserId| {
            let mut get = redis::cmd("HMGET");
            get.arg(keys.about(user)).arg(&["version", "seen"]);
            get
        };
        let about: Vec<(Option<u64>, Option<u64>)> = self.ask_each(&users, get).await?;
        let record =
            |(user, (version, seen_at_ms)): (UserId, (Option<u64>, Option<u64>))| PersonRecord {
                user,
                version: version.unwrap_or(0),
                seen_at_ms,
            };
        Ok(Listed {
            items: users.into_iter().zip(about).map(record).collect(),
            cursor: (next > 0).then(|| next.to_string()),
        })
    }

    /// Members first: as long as there are no facts, there is no room, and lists that name it are
    /// cleaned by whoever reads them.
    async fn restore_room(&self, record: RoomRecord) -> Result<()> {
        let limit = self.shared.config.room_members_max;
        if record.members.len() > limit {
            let what = "the list of members";
            return Err(DirectoryError::TooMany { what, limit });
        }
        let id = &record.room.id;
        self.list(id).await?;
        self.restore_members(id, &[], true).await?;
        for members in record.members.chunks(EDIT_PEOPLE_MAX) {
            self.restore_members(id, members, false).await?;
        }
        self.restore_facts(&record.room, record.fingerprint).await
    }

    async fn restore_markers(&self, room: &RoomId, markers: &[(UserId, Marker)]) -> Result<()> {
        for chunk in markers.chunks(PIPELINE_CHUNK) {
            let mut set = redis::cmd("HSET");
            set.arg(self.shared.keys.markers(room));
            for (user, Marker { epoch, seq }) in chunk {
                set.arg(user.as_str())
                    .arg(format!("{:016x}:{seq}", epoch.0));
            }
            self.ask::<u64>(set).await?;
        }
        Ok(())
    }

    async fn restore_people(&self, people: &[PersonRecord]) -> Result<()> {
        let restore = |person: &PersonRecord| {
            let about = self.shared.keys.about(&person.user);
            let mut call = script::RESTORE_PERSON.call(&[about]);
            let seen = person.seen_at_ms.map(|at_ms| at_ms.to_string());
            call.arg(person.version).arg(seen.unwrap_or_default());
            call
        };
        self.ask_each::<_, u64>(people, restore).await.map(|_| ())
    }
}

impl RedisDirectory {
    async fn restore_members(
        &self,
        room: &RoomId,
        members: &[MemberRecord],
        first: bool,
    ) -> Result<()> {
        let users: Vec<UserId> = members.iter().map(|it| it.member.user.clone()).collect();
        let step = self.begin(room, users.clone(), &[]).await?;
        let keys = &self.shared.keys;
        let mut call = script::RESTORE_MEMBERS.call(&[keys.facts(room), keys.members(room)]);
        call.arg(step.deadline).arg(u8::from(first));
        for MemberRecord { member, since_ms } in members {
            call.arg(member.user.as_str())
                .arg(role_number(member.role))
                .arg(*since_ms);
        }
        let answer: Value = self.ask(call).await?;
        match accepted(answer, self.shared.config.room_members_max) {
            Ok(_) => step.settle(&users, Vec::new()).await,
            Err(error) => {
                step.settle(&[], users).await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn restore_facts(&self, room: &Room, fingerprint: Option<[u8; 16]>) -> Result<()> {
        let mut call = script::RESTORE_ROOM.call(&[self.shared.keys.facts(&room.id)]);
        call.arg(answer::kind_name(room.kind))
            .arg(optional(room.name.as_deref()))
            .arg(optional(room.topic.as_deref()))
            .arg(room.slow_mode_s)
            .arg(room.created_at_ms)
            .arg(room.version)
            .arg(fingerprint.map_or_else(String::new, hex));
        let answer: Value = self.ask(call).await?;
        accepted(answer, self.shared.config.room_members_max).map(|_| ())
    }
}

fn place(cursor: Option<String>) -> Result<u64> {
    let place = cursor.map_or(Ok(0), |cursor| cursor.parse());
    place.map_err(|_| DirectoryError::BadCursor)
}

fn fingerprint(hex: &str) -> Result<[u8; 16]> {
    let number = u128::from_str_radix(hex, 16).map_err(|_| damaged("a fingerprint"))?;
    Ok(number.to_be_bytes())
}
