//! Everything listed, and put into another directory.

use async_trait::async_trait;
use chat_core::{
    DirectoryError, DirectoryTransfer, Listed, Marker, Member, MemberRecord, PersonRecord, RoomId,
    RoomRecord, UserId,
};

use super::facts::{Entry, Facts, Standing};
use super::{MemoryDirectory, Result};
use crate::limits::DIRECTORY_PAGE_MAX;

impl Facts {
    fn restore(&mut self, record: RoomRecord) -> Result<()> {
        let RoomRecord {
            room,
            fingerprint,
            members,
        } = record;
        if self.rooms.contains_key(&room.id) {
            return Err(DirectoryError::Taken);
        }
        self.check_rooms()?;
        self.check_members(members.len())?;
        let users: Vec<UserId> = members.iter().map(|it| it.member.user.clone()).collect();
        self.check_people(&users)?;
        let id = room.id.clone();
        let members = members
            .into_iter()
            .map(|MemberRecord { member, since_ms }| {
                let role = member.role;
                (member.user, Standing { role, since_ms })
            });
        let entry = Entry {
            room,
            fingerprint,
            members: members.collect(),
        };
        let users: Vec<UserId> = entry.members.keys().cloned().collect();
        self.rooms.insert(id.clone(), entry);
        for user in &users {
            self.count_in(&id, user);
        }
        Ok(())
    }

    fn restore_person(&mut self, person: &PersonRecord) -> Result<()> {
        self.check_person(&person.user)?;
        let known = self.people.entry(person.user.clone()).or_default();
        known.version = known.version.max(person.version);
        known.seen_at_ms = known.seen_at_ms.max(person.seen_at_ms);
        Ok(())
    }
}

#[async_trait]
impl DirectoryTransfer for MemoryDirectory {
    async fn fingerprints(&self, rooms: &[RoomId]) -> Result<Vec<Option<[u8; 16]>>> {
        let facts = self.facts.read();
        let fingerprint = |room| facts.rooms.get(room)?.fingerprint;
        Ok(rooms.iter().map(fingerprint).collect())
    }

    async fn member_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<MemberRecord>> {
        let behind = cursor.map(|cursor| place(&cursor)).transpose()?;
        let facts = self.facts.read();
        let Some(entry) = facts.rooms.get(room) else {
            return Ok(Listed::default());
        };
        let members = entry.members.iter();
        let mut found: Vec<_> = members
            .map(|(user, standing)| (standing.since_ms, user.clone(), standing.role))
            .collect();
        found.sort();
        if let Some(behind) = behind {
            found.retain(|(since_ms, user, _)| (*since_ms, user) > (behind.0, &behind.1));
        }
        let record = |(since_ms, user, role)| MemberRecord {
            member: Member { user, role },
            since_ms,
        };
        Ok(listed(found.into_iter().map(record), max, |last| {
            format!("{}:{}", last.since_ms, last.member.user)
        }))
    }

    async fn marker_records(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<Listed<(UserId, Marker)>> {
        let behind = cursor.map(name).transpose()?;
        let facts = self.facts.read();
        let mut found: Vec<(UserId, Marker)> = match facts.markers.get(room) {
            Some(markers) => markers.iter().map(|(it, at)| (it.clone(), *at)).collect(),
            None => Vec::new(),
        };
        found.retain(|(user, _)| behind.as_ref() < Some(user));
        found.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(listed(found, max, |(user, _)| user.to_string()))
    }

    async fn people(&self, cursor: Option<String>, max: usize) -> Result<Listed<PersonRecord>> {
        let behind = cursor.map(name).transpose()?;
        let facts = self.facts.read();
        let mut users: Vec<&UserId> = facts.people.keys().collect();
        users.retain(|user| behind.as_ref() < Some(*user));
        users.sort();
        let record = |user: &UserId| {
            let person = &facts.people[user];
            PersonRecord {
                user: user.clone(),
                version: person.version,
                seen_at_ms: person.seen_at_ms,
            }
        };
        Ok(listed(users.into_iter().map(record), max, |last| {
            last.user.to_string()
        }))
    }

    async fn restore_room(&self, record: RoomRecord) -> Result<()> {
        self.facts.write().restore(record)
    }

    async fn restore_markers(&self, room: &RoomId, markers: &[(UserId, Marker)]) -> Result<()> {
        let mut facts = self.facts.write();
        for (user, marker) in markers {
            facts.put_marker(room, user, *marker)?;
        }
        Ok(())
    }

    async fn restore_people(&self, people: &[PersonRecord]) -> Result<()> {
        let mut facts = self.facts.write();
        people.iter().try_for_each(|it| facts.restore_person(it))
    }
}

/// The next `max`, and where to go on if there are more.
fn listed<T>(
    items: impl IntoIterator<Item = T>,
    max: usize,
    cursor: impl Fn(&T) -> String,
) -> Listed<T> {
    let (items, more) = super::page(items.into_iter(), max.min(DIRECTORY_PAGE_MAX), |item| item);
    let last = items.last().filter(|_| more);
    Listed {
        cursor: last.map(cursor),
        items,
    }
}

fn name(cursor: String) -> Result<UserId> {
    UserId::new(cursor).map_err(|_| DirectoryError::BadCursor)
}

/// A time and a name.
fn place(cursor: &str) -> Result<(u64, UserId)> {
    let (since_ms, user) = cursor.split_once(':').ok_or(DirectoryError::BadCursor)?;
    let since_ms = since_ms.parse().map_err(|_| DirectoryError::BadCursor)?;
    Ok((since_ms, name(user.to_owned())?))
}
