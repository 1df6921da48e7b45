//! A store to lines.
//!
//! While a server runs on the store, each room is consistent at a point of its own: its members are
//! those of one version, its messages all up to one seq, each as it stands when its page is read.

use std::io::Write;

use chat_core::{
    Clock as _, Head, Member, MemberRecord, PageFrom, Room, RoomId, SystemClock, UserId,
};
use serde::Serialize;

use super::lines::{
    FORMAT, Header, Line, LogLine, MarkerLine, MemberLine, MessageLine, RoomEndLine, RoomLine,
    UserLine,
};
use super::progress::Progress;
use super::store::Handles;
use super::{Counts, TransferError};

/// Rooms, members, markers, users or messages that are asked for at a time.
const PAGE: usize = 500;
/// How often the members of a room are read until they did not change meanwhile.
const ATTEMPTS: usize = 10;

type Result<T, E = TransferError> = std::result::Result<T, E>;

/// Writes what a store has.
pub(super) struct Exporter<'a, W> {
    store: &'a Handles,
    lines: W,
    counts: Counts,
    /// Seqs of the rooms that are done: what is shown as progress.
    passed: u64,
    /// Rooms whose logs have passed more seqs than are read.
    pub(super) clipped: u64,
    progress: Progress,
}

impl<'a, W: Write> Exporter<'a, W> {
    pub(super) fn new(store: &'a Handles, lines: W) -> Self {
        Self {
            store,
            lines,
            counts: Counts::default(),
            passed: 0,
            clipped: 0,
            progress: Progress::silent(),
        }
    }

    pub(super) async fn run(&mut self, progress: Progress) -> Result<Counts> {
        self.progress = progress;
        self.progress.set_length(self.seqs().await?);
        self.write(&Header {
            chat_export: FORMAT,
            server: env!("CARGO_PKG_VERSION").to_owned(),
            exported_at_ms: SystemClock.now_ms(),
        })?;
        let mut cursor = None;
        loop {
            let page = self.store.directory.rooms(cursor, PAGE).await?;
            let ids: Vec<RoomId> = page.rooms.into_iter().map(|room| room.id).collect();
            let fingerprints = self.store.rooms.fingerprints(&ids).await?;
            for (id, fingerprint) in ids.iter().zip(fingerprints) {
                self.room(id, fingerprint).await?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        self.users().await?;
        let counts = self.counts.clone();
        self.write(&Line::End(counts.clone()))?;
        self.lines.flush()?;
        self.progress.finish();
        Ok(counts)
    }

    /// How many seqs all logs have: about how much there is to do.
    async fn seqs(&self) -> Result<u64> {
        let (mut seqs, mut cursor) = (0, None);
        loop {
            let page = self.store.directory.rooms(cursor, PAGE).await?;
            let ids: Vec<RoomId> = page.rooms.into_iter().map(|room| room.id).collect();
            let heads = self.store.log.heads(&ids).await?;
            seqs += heads
                .iter()
                .flatten()
                .map(|it| it.position.seq)
                .sum::<u64>();
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(seqs);
            }
        }
    }

    async fn room(&mut self, id: &RoomId, fingerprint: Option<[u8; 16]>) -> Result<()> {
        let Some((room, members)) = self.members(id).await? else {
            return Ok(());
        };
        let heads = self.store.log.heads(std::slice::from_ref(id)).await?;
        let head = heads.into_iter().next().flatten();
        let before = self.counts.clone();
        self.write(&Line::Room(RoomLine {
            id: room.id,
            kind: room.kind,
            name: room.name,
            topic: room.topic,
            slow_mode_s: room.slow_mode_s,
            created_at_ms: room.created_at_ms,
            version: room.version,
            fingerprint: fingerprint.map(|it| format!("{:032x}", u128::from_be_bytes(it))),
            log: head.map(|head| LogLine {
                seq: head.position.seq,
                at_ms: head.at_ms,
            }),
        }))?;
        self.counts.rooms += 1;
        self.counts.members += members.len() as u64;
        for MemberRecord { member, since_ms } in members {
            let Member { user, role } = member;
            self.write(&Line::Member(MemberLine {
                user,
                role,
                since_ms,
            }))?;
        }
        // Of a room without a log nobody has read anything that will ever be there again.
        if let Some(head) = head {
            self.markers(id, &head).await?;
            self.messages(id, head.position.seq).await?;
            self.passed += head.position.seq;
            let is_clipped = self.store.window.is_some_and(|it| head.position.seq > it);
            self.clipped += u64::from(is_clipped);
        }
        self.write(&Line::RoomEnd(RoomEndLine {
            id: id.clone(),
            members: self.counts.members - before.members,
            markers: self.counts.markers - before.markers,
            messages: self.counts.messages - before.messages,
        }))
    }

    /// A room and its members, as they were together.
    async fn members(&self, id: &RoomId) -> Result<Option<(Room, Vec<MemberRecord>)>> {
        for _ in 0..ATTEMPTS {
            let Some(before) = self.facts(id).await? else {
                return Ok(None);
            };
            let (mut members, mut cursor) = (Vec::new(), None);
            loop {
                let page = self.store.rooms.member_records(id, cursor, PAGE).await?;
                members.extend(page.items);
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            if self.facts(id).await?.as_ref() == Some(&before) {
                return Ok(Some((before, members)));
            }
        }
        Err(TransferError::Restless(id.clone()))
    }

    async fn facts(&self, id: &RoomId) -> Result<Option<Room>> {
        // Whoever asks: a room is told to anybody here.
        let anybody = UserId::new("export").expect("it is a name");
        let access = self.store.directory.access(id, &anybody).await?;
        Ok(access.map(|access| access.room))
    }

    async fn markers(&mut self, id: &RoomId, head: &Head) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.store.rooms.marker_records(id, cursor, PAGE).await?;
            for (user, marker) in page.items {
                let read = marker.seq_in(head.position.epoch, head.epoch_start);
                let seq = read.min(head.position.seq);
                self.write(&Line::Marker(MarkerLine { user, seq }))?;
                self.counts.markers += 1;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn messages(&mut self, id: &RoomId, last: u64) -> Result<()> {
        let mut after = 0;
        loop {
            let page = self
                .store
                .log
                .page(id, PageFrom::After(after), PAGE)
                .await?;
            for message in page.messages {
                after = message.id.seq;
                if after > last {
                    return Ok(());
                }
                let line = MessageLine::of(message, last);
                self.write(&Line::Message(Box::new(line)))?;
                self.counts.messages += 1;
            }
            self.progress.set(self.passed + after, &self.counts);
            if !page.more {
                return Ok(());
            }
        }
    }

    async fn users(&mut self) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.store.rooms.people(cursor, PAGE).await?;
            for person in page.items {
                self.write(&Line::User(UserLine {
                    user: person.user,
                    version: person.version,
                    seen_at_ms: person.seen_at_ms,
                }))?;
                self.counts.users += 1;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    fn write(&mut self, line: &impl Serialize) -> Result<()> {
        serde_json::to_writer(&mut self.lines, line).map_err(std::io::Error::from)?;
        Ok(self.lines.write_all(b"\n")?)
    }
}
