//! Lines to a store.
//!
//! A room's messages and markers are put where nobody finds them; then the room itself, in one step.
//! So a room that is there is whole, and what an import that was cut off has left of another one is
//! replaced by the next.

use std::collections::BTreeMap;
use std::io::BufRead;

use chat_core::{PersonRecord, UserId};

use super::lines::{FORMAT, Header, Line, RoomLine, UserLine};
use super::progress::Progress;
use super::store::Handles;
use super::{Counts, TransferError};

mod pending;
mod source;

use pending::Pending;
use source::Source;

/// Markers or users that are put at a time.
const PIECE: usize = 1_000;

type Result<T, E = TransferError> = std::result::Result<T, E>;

/// What was done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// What is in the store now, of rooms that were not skipped.
    pub(super) counts: Counts,
    /// Rooms that were there already.
    pub(super) skipped: u64,
    /// Messages that the store does not keep, because they are too old.
    pub(super) not_kept: u64,
}

/// Reads what an exporter wrote.
pub(super) struct Importer<'a, R> {
    store: &'a Handles,
    lines: Source<R>,
    skip_existing: bool,
    room: Option<Pending>,
    /// Of each one: see the markers of a room.
    users: BTreeMap<UserId, PersonRecord>,
    /// What the lines had so far.
    read: Counts,
    done: Done,
}

impl<'a, R: BufRead> Importer<'a, R> {
    pub(super) fn new(store: &'a Handles, lines: R, skip_existing: bool) -> Self {
        Self {
            store,
            lines: Source::new(lines),
            skip_existing,
            room: None,
            users: BTreeMap::new(),
            read: Counts::default(),
            done: Done::default(),
        }
    }

    /// How many rooms are whole by now.
    pub(super) fn rooms(&self) -> u64 {
        self.done.counts.rooms
    }

    pub(super) async fn run(&mut self, mut progress: Progress) -> Result<Done> {
        self.check_header()?;
        if !self.skip_existing {
            self.check_empty().await?;
        }
        loop {
            let Some(text) = self.lines.next_line()? else {
                return Err(self.lines.cut_off());
            };
            let line = serde_json::from_slice(&text);
            let line = line.map_err(|error| self.lines.malformed(&error))?;
            if let Line::End(counts) = line {
                self.check_between_rooms()?;
                self.put_users().await?;
                self.check_end(&counts)?;
                progress.finish();
                return Ok(self.done.clone());
            }
            self.take(line).await?;
            progress.set(self.lines.bytes, &self.read);
        }
    }

    fn check_header(&mut self) -> Result<()> {
        let Some(text) = self.lines.next_line()? else {
            return Err(self.lines.wrong("there is nothing: export again"));
        };
        let header: Header = serde_json::from_slice(&text)
            .map_err(|_| self.lines.wrong("is not the header of an export"))?;
        if header.chat_export == FORMAT {
            return Ok(());
        }
        let (format, version) = (header.chat_export, header.server);
        Err(self.lines.wrong(format!(
            "format {format} is not known to this program, only {FORMAT}: import with version \
             {version}"
        )))
    }

    async fn check_empty(&self) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.store.directory.rooms(cursor, 1).await?;
            if let Some(room) = page.rooms.into_iter().next() {
                return Err(TransferError::NotEmpty(room.id));
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Room(room) => {
                self.check_between_rooms()?;
                self.read.rooms += 1;
                self.room = Some(self.begin_room(room).await?);
            }
            Line::User(user) => {
                self.check_between_rooms()?;
                self.read.users += 1;
                self.take_user(user).await?;
            }
            Line::RoomEnd(end) => {
                let Some(room) = self.room.take() else {
                    return Err(self.lines.wrong("belongs to no room"));
                };
                // Before the room is there: one that is not whole must never be.
                room.check_end(&end)
                    .map_err(|what| self.lines.wrong(what))?;
                room.finish(self.store, &mut self.done).await?;
            }
            of_a_room => {
                // Taken out and put back: what it does to the room may be refused by the lines.
                let Some(mut room) = self.room.take() else {
                    return Err(self.lines.wrong("belongs to no room"));
                };
                self.take_of(&mut room, of_a_room).await?;
                self.room = Some(room);
            }
        }
        Ok(())
    }

    async fn take_of(&mut self, room: &mut Pending, line: Line) -> Result<()> {
        let (store, done) = (self.store, &mut self.done);
        match line {
            Line::Member(member) => {
                self.read.members += 1;
                let taken = room.take_member(member);
                taken.map_err(|what| self.lines.wrong(what))
            }
            Line::Marker(marker) => {
                self.read.markers += 1;
                if room.take_marker(marker) {
                    room.put_markers(store, done).await?;
                }
                Ok(())
            }
            Line::Message(message) => {
                self.read.messages += 1;
                let enough = room.take_message(*message);
                if enough.map_err(|what| self.lines.wrong(what))? {
                    room.put_messages(store, done).await?;
                }
                Ok(())
            }
            // They are taken care of by whoever calls.
            Line::Room(_) | Line::RoomEnd(_) | Line::User(_) | Line::End(_) => Ok(()),
        }
    }

    async fn begin_room(&self, line: RoomLine) -> Result<Pending> {
        let anybody = UserId::new("import").expect("it is a name");
        let there = self.store.directory.access(&line.id, &anybody).await?;
        if there.is_some() && !self.skip_existing {
            return Err(self.lines.wrong(format!(
                "there is a room {} already: take one of the two away, or leave the one that is there \
                 as it is with --skip-existing",
                line.id
            )));
        }
        let fingerprint = line.fingerprint.as_deref().map(fingerprint).transpose();
        let fingerprint = fingerprint.map_err(|what| self.lines.wrong(what))?;
        Pending::begin(self.store, line, fingerprint, there.is_some()).await
    }

    async fn take_user(&mut self, line: UserLine) -> Result<()> {
        let UserLine {
            user,
            version,
            seen_at_ms,
        } = line;
        let known = self.users.entry(user.clone());
        let known = known.or_insert(PersonRecord {
            user,
            version,
            seen_at_ms,
        });
        known.version = version.max(known.version);
        known.seen_at_ms = seen_at_ms.max(known.seen_at_ms);
        if self.users.len() >= PIECE {
            self.put_users().await?;
        }
        Ok(())
    }

    async fn put_users(&mut self) -> Result<()> {
        let users = std::mem::take(&mut self.users);
        let users: Vec<PersonRecord> = users.into_values().collect();
        self.done.counts.users += users.len() as u64;
        Ok(self.store.rooms.restore_people(&users).await?)
    }

    fn check_between_rooms(&self) -> Result<()> {
        match &self.room {
            Some(room) => Err(self.lines.wrong(format!(
                "lines are missing: the room {} before it has no end",
                room.id()
            ))),
            None => Ok(()),
        }
    }

    fn check_end(&mut self, counts: &Counts) -> Result<()> {
        if *counts != self.read {
            return Err(self.lines.wrong(format!(
                "lines are missing or too many: there should be {counts:?}, and there were {:?}",
                self.read
            )));
        }
        match self.lines.next_line()? {
            Some(_) => Err(self.lines.wrong("is behind the end")),
            None => Ok(()),
        }
    }
}

fn fingerprint(hex: &str) -> Result<[u8; 16], &'static str> {
    let number = u128::from_str_radix(hex, 16).ok();
    let number = number.filter(|_| hex.len() == 32);
    let number = number.ok_or("a fingerprint has 32 hexadecimal digits")?;
    Ok(number.to_be_bytes())
}
