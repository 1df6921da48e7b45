//! Lines to a store.
//!
//! A room's messages and markers are put where nobody finds them; then the room itself, in one step.
//! So a room that is there is whole, and what an import that was cut off has left of another one is
//! replaced by the next.

use std::io::{BufRead, Read as _};

use chat_core::limits::{READ_BYTES_MAX, READ_ENTRIES_MAX, ROOM_MEMBERS_MAX};
use chat_core::{
    Epoch, Marker, Member, MemberRecord, Message, PersonRecord, Room, RoomId, RoomRecord, UserId,
};

use super::lines::{FORMAT, Header, Line, MemberLine, MessageLine, RoomLine, UserLine};
use super::progress::Progress;
use super::store::Handles;
use super::{Counts, TransferError};

/// Longest line. A message with as many reactions as there may be, by users with long names, takes
/// half of that.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
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
    lines: R,
    line: u64,
    bytes: u64,
    skip_existing: bool,
    room: Option<Pending>,
    users: Vec<PersonRecord>,
    /// What the lines had so far.
    read: Counts,
    done: Done,
}

/// The room whose lines are being read.
struct Pending {
    /// Nothing but its id counts of one that is skipped.
    record: RoomRecord,
    skipped: bool,
    epoch: Epoch,
    head: u64,
    /// The seq of the last message.
    after: u64,
    markers: Vec<(UserId, Marker)>,
    messages: Vec<Message>,
    message_bytes: usize,
}

impl<'a, R: BufRead> Importer<'a, R> {
    pub(super) fn new(store: &'a Handles, lines: R, skip_existing: bool) -> Self {
        Self {
            store,
            lines,
            line: 0,
            bytes: 0,
            skip_existing,
            room: None,
            users: Vec::new(),
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
            let Some(text) = self.next_line()? else {
                return Err(self.cut_off());
            };
            let line = serde_json::from_slice(&text).map_err(|error| self.malformed(&error))?;
            if let Line::End(counts) = line {
                self.finish_room().await?;
                self.put_users().await?;
                self.check_end(&counts)?;
                progress.finish();
                return Ok(self.done.clone());
            }
            self.take(line).await?;
            progress.set(self.bytes, &self.read);
        }
    }

    fn check_header(&mut self) -> Result<()> {
        let Some(text) = self.next_line()? else {
            return Err(TransferError::line(1, "there is nothing: export again"));
        };
        let header: Header = serde_json::from_slice(&text)
            .map_err(|_| TransferError::line(1, "is not the header of an export"))?;
        if header.chat_export == FORMAT {
            return Ok(());
        }
        let Header {
            chat_export,
            server,
            ..
        } = header;
        Err(TransferError::line(
            1,
            format!(
                "format {chat_export} is not known to this program, only {FORMAT}: import with \
                 version {server}"
            ),
        ))
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

    /// The next line that is not empty.
    fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut text = Vec::new();
            let limited = self.lines.by_ref().take(LINE_BYTES_MAX);
            let read = { limited }.read_until(b'\n', &mut text)? as u64;
            self.line += 1;
            self.bytes += read;
            if read == 0 {
                return Ok(None);
            }
            if read == LINE_BYTES_MAX {
                return Err(self.wrong("is longer than any line of an export"));
            }
            if text.last() != Some(&b'\n') && serde_json::from_slice::<Line>(&text).is_err() {
                return Err(self.cut_off());
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some(text));
            }
        }
    }

    async fn take(&mut self, line: Line) -> Result<()> {
        match line {
            Line::Room(room) => {
                self.finish_room().await?;
                self.read.rooms += 1;
                self.room = Some(self.begin_room(room).await?);
            }
            Line::Member(member) => {
                self.read.members += 1;
                self.take_member(member)?;
            }
            Line::Marker(marker) => {
                self.read.markers += 1;
                let room = self.pending("a read marker")?;
                let (epoch, seq) = (room.epoch, marker.seq.min(room.head));
                room.markers.push((marker.user, Marker { epoch, seq }));
                if room.markers.len() >= PIECE {
                    self.put_markers().await?;
                }
            }
            Line::Message(message) => {
                self.read.messages += 1;
                self.take_message(*message).await?;
            }
            Line::User(user) => {
                self.finish_room().await?;
                self.read.users += 1;
                let UserLine {
                    user,
                    version,
                    seen_at_ms,
                } = user;
                self.users.push(PersonRecord {
                    user,
                    version,
                    seen_at_ms,
                });
                if self.users.len() >= PIECE {
                    self.put_users().await?;
                }
            }
            // It is taken care of before.
            Line::End(_) => {}
        }
        Ok(())
    }

    async fn begin_room(&mut self, line: RoomLine) -> Result<Pending> {
        let anybody = UserId::new("import").expect("it is a name");
        let there = self.store.directory.access(&line.id, &anybody).await?;
        let skipped = there.is_some();
        if skipped && !self.skip_existing {
            return Err(self.wrong(format!(
                "there is a room {} already: take one of the two away, or leave the one that is there \
                 as it is with --skip-existing",
                line.id
            )));
        }
        let fingerprint = line.fingerprint.as_deref().map(fingerprint).transpose();
        let fingerprint = fingerprint.map_err(|what| self.wrong(what))?;
        let (mut epoch, mut head) = (Epoch(0), 0);
        if let Some(log) = line.log.filter(|_| !skipped) {
            let logs = &self.store.logs;
            let begun = logs.start_over(&line.id, log.seq, log.at_ms).await?;
            (epoch, head) = (begun.position.epoch, log.seq);
        }
        let room = Room {
            id: line.id,
            kind: line.kind,
            name: line.name,
            topic: line.topic,
            slow_mode_s: line.slow_mode_s,
            created_at_ms: line.created_at_ms,
            version: line.version,
            member_count: 0,
        };
        Ok(Pending {
            record: RoomRecord {
                room,
                fingerprint,
                members: Vec::new(),
            },
            skipped,
            epoch,
            head: line.log.map_or(head, |log| log.seq),
            after: 0,
            markers: Vec::new(),
            messages: Vec::new(),
            message_bytes: 0,
        })
    }

    fn take_member(&mut self, line: MemberLine) -> Result<()> {
        let members = &mut self.pending("a member")?.record.members;
        if members.len() >= ROOM_MEMBERS_MAX {
            return Err(self.wrong("the room has more members than there may be"));
        }
        let MemberLine {
            user,
            role,
            since_ms,
        } = line;
        let member = Member { user, role };
        members.push(MemberRecord { member, since_ms });
        Ok(())
    }

    async fn take_message(&mut self, line: MessageLine) -> Result<()> {
        let room = self.pending("a message")?;
        let id: RoomId = room.record.room.id.clone();
        let message = match line.in_room(&id, room.after, room.head) {
            Ok(message) => message,
            Err(what) => return Err(self.wrong(what)),
        };
        room.after = message.id.seq;
        if room.skipped {
            return Ok(());
        }
        room.message_bytes += message.size_hint();
        room.messages.push(message);
        if room.messages.len() >= READ_ENTRIES_MAX || room.message_bytes >= READ_BYTES_MAX {
            self.put_messages().await?;
        }
        Ok(())
    }

    async fn put_messages(&mut self) -> Result<()> {
        let Some(room) = &mut self.room else {
            return Ok(());
        };
        let messages = std::mem::take(&mut room.messages);
        room.message_bytes = 0;
        if messages.is_empty() {
            return Ok(());
        }
        let count = messages.len() as u64;
        let id = &room.record.room.id;
        let kept = self.store.logs.put_messages(id, messages).await? as u64;
        self.done.counts.messages += kept;
        self.done.not_kept += count - kept;
        Ok(())
    }

    async fn put_markers(&mut self) -> Result<()> {
        let Some(room) = &mut self.room else {
            return Ok(());
        };
        let markers = std::mem::take(&mut room.markers);
        if room.skipped || markers.is_empty() {
            return Ok(());
        }
        self.done.counts.markers += markers.len() as u64;
        let id = &room.record.room.id;
        Ok(self.store.rooms.restore_markers(id, &markers).await?)
    }

    async fn put_users(&mut self) -> Result<()> {
        let users = std::mem::take(&mut self.users);
        self.done.counts.users += users.len() as u64;
        Ok(self.store.rooms.restore_people(&users).await?)
    }

    /// Puts the room in place whose lines are read: after that it is there.
    async fn finish_room(&mut self) -> Result<()> {
        self.put_messages().await?;
        self.put_markers().await?;
        let Some(room) = self.room.take() else {
            return Ok(());
        };
        if room.skipped {
            self.done.skipped += 1;
            return Ok(());
        }
        self.done.counts.members += room.record.members.len() as u64;
        self.store.rooms.restore_room(room.record).await?;
        self.done.counts.rooms += 1;
        Ok(())
    }

    fn check_end(&mut self, counts: &Counts) -> Result<()> {
        if *counts != self.read {
            return Err(self.wrong(format!(
                "lines are missing or too many: there should be {counts:?}, and there were {:?}",
                self.read
            )));
        }
        match self.next_line()? {
            Some(_) => Err(self.wrong("is behind the end")),
            None => Ok(()),
        }
    }

    fn pending(&mut self, what: &str) -> Result<&mut Pending> {
        let line = self.line;
        let homeless = || TransferError::line(line, format!("{what} belongs to no room"));
        self.room.as_mut().ok_or_else(homeless)
    }

    fn wrong(&self, what: impl Into<String>) -> TransferError {
        TransferError::line(self.line, what)
    }

    fn malformed(&self, error: &serde_json::Error) -> TransferError {
        // Not the error's own place, which is in this line.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        self.wrong(format!("is no line of an export: {what}"))
    }

    fn cut_off(&self) -> TransferError {
        self.wrong("the file ends before its end: it was cut off, or is still being written")
    }
}

fn fingerprint(hex: &str) -> Result<[u8; 16], &'static str> {
    let number = u128::from_str_radix(hex, 16)
        .ok()
        .filter(|_| hex.len() == 32);
    let number = number.ok_or("a fingerprint has 32 hexadecimal digits")?;
    Ok(number.to_be_bytes())
}
