//! One transaction of appends: takes the rooms' locks, loads what they need, writes what they make.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use chat_core::{
    AppendCall, Emoji, EntryBody, EntryId, Epoch, Head, MessageKey, Position, RoomId, UserId,
};

use super::plan::{FirstUse, Outcome, Room, StoredText, Target};
use super::statements::{self as sql, Batch};
use crate::db::{Db, Failure, Row, Rows, Transaction};
use crate::text;

/// What the store was configured with, as far as appends need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) log_max: u64,
    pub(super) key_window_ms: u64,
    /// Trimmed whenever seq passes a multiple of this.
    pub(super) trim_step: u64,
}

/// Puts what a statement writes of one room.
type Put = fn(&Room, &mut Rows);

/// The rooms of a batch, by name.
pub(super) struct Work<'a, 'c> {
    db: &'a Db,
    transaction: &'a mut Transaction<'c>,
    settings: Settings,
    rooms: BTreeMap<RoomId, Room>,
}

impl<'a, 'c> Work<'a, 'c> {
    pub(super) fn new(
        db: &'a Db,
        transaction: &'a mut Transaction<'c>,
        settings: Settings,
    ) -> Self {
        Self {
            db,
            transaction,
            settings,
            rooms: BTreeMap::new(),
        }
    }

    async fn run(&mut self, batch: &Batch, rows: Rows) -> Result<Vec<Row>, Failure> {
        self.transaction
            .over(self.db, &batch.statement, rows, Vec::new())
            .await
    }

    /// Takes the locks of all rooms, made where there are none.
    pub(super) async fn lock(&mut self, names: BTreeSet<RoomId>) -> Result<(), Failure> {
        let (by_rows, by_array) = &*sql::LOCK;
        let mut rows = Rows::new(by_rows.columns);
        for room in &names {
            rows.name(room.as_str());
        }
        let mut args = self.db.args(rows);
        args.push(crate::db::Arg::Now);
        let statement = if self.db.is_postgres() {
            by_array
        } else {
            &by_rows.statement
        };
        for row in self.transaction.rows(statement, args).await? {
            self.take_head(&row)?;
        }
        let missing: Vec<&RoomId> = names
            .iter()
            .filter(|room| !self.rooms.contains_key(*room))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::new(sql::CREATE.columns);
        for room in &missing {
            rows.name(room.as_str())
                .int(Epoch::random().0.cast_signed());
        }
        let now = vec![crate::db::Arg::Now];
        let made = self
            .transaction
            .over(self.db, &sql::CREATE.statement, rows, now)
            .await?;
        // Locks taken now would be out of order. Next time the rooms are there.
        if made.len() < missing.len() {
            return Err(Failure::raced());
        }
        made.iter().try_for_each(|row| self.take_head(row))
    }

    fn take_head(&mut self, row: &Row) -> Result<(), Failure> {
        let room = name(row, 0, RoomId::new)?;
        let head = head_at(row, 1)?;
        let now_ms = row.count(6)?;
        self.rooms
            .insert(room.clone(), Room::new(room, head, now_ms));
        Ok(())
    }

    /// Loads keys, and what is stored of the messages that the calls change.
    pub(super) async fn load(&mut self, calls: &[AppendCall]) -> Result<(), Failure> {
        self.load_keys(calls).await?;
        let wanted = Wanted::of(calls);
        if wanted.targets.is_empty() {
            return Ok(());
        }
        for row in self
            .run(&sql::TARGETS, pairs(&sql::TARGETS, &wanted.targets))
            .await?
        {
            let target = Target {
                entry: EntryId(row.word(2)?),
                author: name(&row, 3, UserId::new)?,
                deleted: row.int(4)? != 0,
                emoji: BTreeMap::new(),
                present: HashSet::new(),
            };
            self.room(&row)?.targets.insert(row.count(1)?, target);
        }
        self.load_reactions(&wanted).await?;
        for row in self
            .run(&sql::TEXTS, pairs(&sql::TEXTS, &wanted.deleted))
            .await?
        {
            let stored = StoredText {
                seq: row.count(1)?,
                of: row.count(2)?,
                tail: row.bytes(3)?,
            };
            self.room(&row)?.texts.push(stored);
        }
        Ok(())
    }

    async fn load_keys(&mut self, calls: &[AppendCall]) -> Result<(), Failure> {
        let window = self.settings.key_window_ms;
        let mut rows = Rows::new(sql::KEYS.columns);
        for call in calls {
            let now_ms = self.rooms.get(&call.room).map_or(0, |room| room.now_ms);
            let current = now_ms - now_ms % window;
            for entry in &call.entries {
                let Some(asked) = &entry.key else { continue };
                for start in [current, current.saturating_sub(window)] {
                    rows.int(signed(start))
                        .name(call.room.as_str())
                        .name(entry.actor.as_str())
                        .name(asked.key.as_str());
                }
            }
        }
        for row in self.run(&sql::KEYS, rows).await? {
            let content = row.bytes(3)?;
            let first = FirstUse {
                content: content
                    .try_into()
                    .map_err(|_| Failure::damaged("a content hash has not 16 bytes"))?,
                position: position_at(&row, 4)?,
                at_ms: row.count(7)?,
            };
            let user = name(&row, 1, UserId::new)?;
            let key = name(&row, 2, MessageKey::new)?;
            self.room(&row)?.keys.insert((user, key), first);
        }
        Ok(())
    }

    async fn load_reactions(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        for row in self
            .run(&sql::EMOJI, pairs(&sql::EMOJI, &wanted.counted))
            .await?
        {
            let (seq, emoji, users) = (row.count(1)?, emoji(&row, 2)?, row.count(3)?);
            if let Some(target) = self.room(&row)?.targets.get_mut(&seq) {
                let users = usize::try_from(users).unwrap_or(usize::MAX);
                target.emoji.insert(emoji, users);
            }
        }
        let mut rows = Rows::new(sql::PRESENT.columns);
        for (room, seq, emoji, user) in &wanted.reactions {
            rows.name(room.as_str())
                .int(signed(*seq))
                .name(&text::stored(emoji))
                .name(user.as_str());
        }
        for row in self.run(&sql::PRESENT, rows).await? {
            let (seq, emoji) = (row.count(1)?, emoji(&row, 2)?);
            let user = name(&row, 3, UserId::new)?;
            if let Some(target) = self.room(&row)?.targets.get_mut(&seq) {
                target.present.insert((emoji, user));
            }
        }
        Ok(())
    }

    fn room(&mut self, row: &Row) -> Result<&mut Room, Failure> {
        let room = name(row, 0, RoomId::new)?;
        self.rooms
            .get_mut(&room)
            .ok_or_else(|| Failure::damaged("an answer is about a room that was not asked for"))
    }

    /// Works the calls out, in their order.
    pub(super) fn plan(&mut self, calls: &[AppendCall]) -> Vec<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(calls.len());
        for call in calls {
            let room = self
                .rooms
                .get_mut(&call.room)
                .expect("every room of the batch is locked");
            outcomes.push(call.entries.iter().map(|new| room.append(new)).collect());
        }
        self.rooms.values_mut().for_each(Room::finish);
        outcomes
    }

    /// Writes what the calls made, one statement per table.
    pub(super) async fn write(&mut self) -> Result<(), Failure> {
        if self
            .rooms
            .values()
            .all(|room| room.changes.entries.is_empty())
        {
            return Ok(());
        }
        let entries = self.collect(&sql::ENTRIES, put_entries);
        self.run(&sql::ENTRIES, entries).await?;
        let messages = self.collect(&sql::MESSAGES, put_messages);
        self.run(&sql::MESSAGES, messages).await?;
        let window = self.settings.key_window_ms;
        let keys = self.collect(&sql::KEYS_USED, |room, rows| put_keys(room, rows, window));
        self.run(&sql::KEYS_USED, keys).await?;
        self.write_changes().await?;
        let heads = self.collect(&sql::HEADS, put_head);
        self.run(&sql::HEADS, heads).await?;
        let settings = self.settings;
        let trims = self.collect(&sql::TRIM, |room, rows| put_trim(room, rows, settings));
        self.run(&sql::TRIM, trims).await?;
        Ok(())
    }

    async fn write_changes(&mut self) -> Result<(), Failure> {
        let steps: [(&Batch, Put); 7] = [
            (&sql::TOUCHED, put_touched),
            (&sql::EDITED, put_edited),
            (&sql::ERASED, put_erased),
            (&sql::REACTIONS_ERASED, put_erased),
            (&sql::REACTIONS_REMOVED, put_reactions_removed),
            (&sql::REACTIONS_ADDED, put_reactions_added),
            (&sql::BLANKED, put_blanked),
        ];
        for (batch, put) in steps {
            let rows = self.collect(batch, put);
            self.run(batch, rows).await?;
        }
        Ok(())
    }

    fn collect(&self, batch: &Batch, put: impl Fn(&Room, &mut Rows)) -> Rows {
        let mut rows = Rows::new(batch.columns);
        for room in self.rooms.values() {
            put(room, &mut rows);
        }
        rows
    }
}

/// What the calls refer to.
#[derive(Default)]
struct Wanted {
    targets: BTreeSet<(RoomId, u64)>,
    /// Messages whose emoji must be counted.
    counted: BTreeSet<(RoomId, u64)>,
    reactions: BTreeSet<(RoomId, u64, Emoji, UserId)>,
    deleted: BTreeSet<(RoomId, u64)>,
}

impl Wanted {
    fn of(calls: &[AppendCall]) -> Self {
        let mut wanted = Self::default();
        for call in calls {
            for entry in &call.entries {
                let precondition = entry.precondition.as_ref().map(|it| it.message);
                for message in entry.body.target().into_iter().chain(precondition) {
                    wanted.targets.insert((call.room.clone(), message.seq));
                }
                match &entry.body {
                    EntryBody::MessageReacted { message, emoji, .. } => {
                        let user = entry.actor.clone();
                        let name = (call.room.clone(), message.seq, emoji.clone(), user);
                        wanted.reactions.insert(name);
                        wanted.counted.insert((call.room.clone(), message.seq));
                    }
                    EntryBody::MessageDeleted { message } => {
                        wanted.deleted.insert((call.room.clone(), message.seq));
                    }
                    _ => {}
                }
            }
        }
        wanted
    }
}

fn pairs(batch: &Batch, of: &BTreeSet<(RoomId, u64)>) -> Rows {
    let mut rows = Rows::new(batch.columns);
    for (room, seq) in of {
        rows.name(room.as_str()).int(signed(*seq));
    }
    rows
}

fn put_entries(room: &Room, rows: &mut Rows) {
    for row in &room.changes.entries {
        let position = row.header.position;
        rows.name(room.id.as_str())
            .int(signed(position.seq))
            .int(position.epoch.0.cast_signed())
            .int(position.id.0.cast_signed())
            .int(row.header.prev.0.cast_signed())
            .int(signed(row.header.at_ms))
            .int(row.edits.map(signed))
            .blob(&row.tail);
    }
}

fn put_messages(room: &Room, rows: &mut Rows) {
    for row in &room.changes.messages {
        let EntryBody::MessageAdded {
            text,
            reply_to,
            mentions,
            meta,
        } = &row.body
        else {
            continue;
        };
        rows.name(room.id.as_str())
            .int(signed(row.id.seq))
            .int(row.id.entry.0.cast_signed())
            .name(row.author.as_str())
            .text(text.as_deref().map(stored))
            .int(signed(row.at_ms))
            .int(reply_to.map(|id| signed(id.seq)))
            .int(reply_to.map(|id| id.entry.0.cast_signed()))
            .text(mentions_json(mentions))
            .text(meta.as_deref().map(stored));
    }
}

fn put_keys(room: &Room, rows: &mut Rows, window: u64) {
    for ((user, key), first) in &room.changes.keys {
        let position = first.position;
        rows.int(signed(first.at_ms - first.at_ms % window))
            .name(room.id.as_str())
            .name(user.as_str())
            .name(key.as_str())
            .blob(&first.content)
            .int(position.epoch.0.cast_signed())
            .int(signed(position.seq))
            .int(position.id.0.cast_signed())
            .int(signed(first.at_ms));
    }
}

fn put_touched(room: &Room, rows: &mut Rows) {
    for (seq, by) in &room.changes.touched {
        rows.name(room.id.as_str())
            .int(signed(*seq))
            .int(signed(*by));
    }
}

fn put_edited(room: &Room, rows: &mut Rows) {
    for (seq, edit) in &room.changes.edited {
        rows.name(room.id.as_str())
            .int(signed(*seq))
            .text(edit.text.as_deref().map(stored))
            .text(mentions_json(&edit.mentions))
            .int(signed(edit.at_ms));
    }
}

fn put_erased(room: &Room, rows: &mut Rows) {
    for seq in &room.changes.erased {
        rows.name(room.id.as_str()).int(signed(*seq));
    }
}

fn put_reactions_removed(room: &Room, rows: &mut Rows) {
    for ((seq, emoji, user), since) in &room.changes.reactions {
        if since.is_none() {
            rows.name(room.id.as_str())
                .int(signed(*seq))
                .name(&text::stored(emoji))
                .name(user.as_str());
        }
    }
}

fn put_reactions_added(room: &Room, rows: &mut Rows) {
    for ((seq, emoji, user), since) in &room.changes.reactions {
        if let Some(since) = since {
            rows.name(room.id.as_str())
                .int(signed(*seq))
                .name(&text::stored(emoji))
                .name(user.as_str())
                .int(signed(*since));
        }
    }
}

fn put_blanked(room: &Room, rows: &mut Rows) {
    for (seq, tail) in &room.changes.blanked {
        rows.name(room.id.as_str()).int(signed(*seq)).blob(tail);
    }
}

fn put_head(room: &Room, rows: &mut Rows) {
    let Head {
        position,
        at_ms,
        epoch_start,
    } = room.head;
    rows.name(room.id.as_str())
        .int(position.epoch.0.cast_signed())
        .int(signed(position.seq))
        .int(position.id.0.cast_signed())
        .int(signed(at_ms))
        .int(signed(epoch_start))
        .int(signed(room.now_ms));
}

fn put_trim(room: &Room, rows: &mut Rows, settings: Settings) {
    let after = room.head.position.seq;
    let before = after - room.changes.entries.len() as u64;
    let steps = |seq: u64| seq / settings.trim_step;
    if after > settings.log_max && steps(after) != steps(before) {
        rows.name(room.id.as_str())
            .int(signed(after - settings.log_max + 1));
    }
}

pub(super) fn stored(text: &str) -> String {
    text::stored(text).into_owned()
}

pub(super) fn mentions_json(mentions: &[UserId]) -> Option<String> {
    if mentions.is_empty() {
        return None;
    }
    Some(serde_json::to_string(mentions).expect("names always have a JSON form"))
}

fn emoji(row: &Row, at: usize) -> Result<Emoji, Failure> {
    Emoji::new(text::loaded(row.text(at)?)).map_err(|_| Failure::damaged("an emoji is none"))
}

/// A number that is never negative, as SQL has it.
pub(crate) fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A name that was checked before it was stored.
pub(super) fn name<T, E>(
    row: &Row,
    at: usize,
    parse: impl Fn(String) -> Result<T, E>,
) -> Result<T, Failure> {
    parse(row.text(at)?).map_err(|_| Failure::damaged("a name is none"))
}

/// A position in three columns: epoch, seq, id.
pub(super) fn position_at(row: &Row, at: usize) -> Result<Position, Failure> {
    Ok(Position {
        epoch: Epoch(row.word(at)?),
        seq: row.count(at + 1)?,
        id: EntryId(row.word(at + 2)?),
    })
}

/// A head in five columns: position, time, start of the epoch.
pub(super) fn head_at(row: &Row, at: usize) -> Result<Head, Failure> {
    Ok(Head {
        position: position_at(row, at)?,
        at_ms: row.count(at + 3)?,
        epoch_start: row.count(at + 4)?,
    })
}
