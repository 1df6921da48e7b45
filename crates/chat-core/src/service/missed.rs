//! What a connection missed: from memory where that is surely the log's truth, else from the log.

use std::sync::Arc;

use futures_util::{FutureExt, TryFutureExt};

use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::ids::{EntryId, RoomId};
use crate::limits::{Limits, PAGE_BYTES_MAX, PAGE_MAX, READ_ENTRIES_MAX};
use crate::message::Message;
use crate::metrics::ReasonLabel;
use crate::position::Position;
use crate::room_log::{Head, Page, PageFrom, ReadAfter};
use crate::service::Inner;
use crate::service::room::RoomHub;

/// What a connection is told it missed.
#[derive(Debug, Clone, Default)]
pub(super) struct Missed {
    /// `entries` are exactly what came after the client's position.
    pub(super) recovered: bool,
    /// The limits were reached: there is more.
    pub(super) more: bool,
    pub(super) entries: Vec<Arc<Delivery>>,
    /// A fresh page, if it was not recovered.
    pub(super) messages: Vec<Message>,
    bytes: usize,
}

impl Missed {
    /// Takes an entry if the limits allow it; at least one they do.
    fn push(&mut self, delivery: Arc<Delivery>, limits: &Limits) -> bool {
        let bytes = self.bytes + delivery.size_hint();
        let fits = self.entries.len() < limits.resume_max && bytes <= limits.resume_bytes_max;
        if !fits && !self.entries.is_empty() {
            self.more = true;
            return false;
        }
        self.bytes = bytes;
        self.entries.push(delivery);
        true
    }
}

/// What a log has above a seq, ready to be told.
#[derive(Debug)]
pub(super) struct Span {
    anchor: Option<EntryId>,
    head: Option<Head>,
    entries: Vec<Arc<Delivery>>,
}

impl From<ReadAfter> for Span {
    fn from(read: ReadAfter) -> Self {
        let tell = |entry| Delivery::new(Event::Entry(Arc::new(entry)));
        Self {
            anchor: read.anchor,
            head: read.head,
            entries: read.entries.into_iter().map(tell).collect(),
        }
    }
}

/// The head of a log that continues a client's position: it has its id at its seq, and not too
/// much has come since.
fn continues(from: Position, read: &Span, distance_max: u64) -> Option<Position> {
    let head = read.head?.position;
    let same = read.anchor == Some(from.id) && head.seq >= from.seq;
    (same && head.seq - from.seq <= distance_max).then_some(head)
}

impl Inner {
    /// Adds what came since a position. Answers where that ends; `None` if it cannot be said, and
    /// nothing is kept of it.
    pub(super) async fn missed_since(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        from: Position,
        missed: &mut Missed,
    ) -> Result<Option<Position>, ServiceError> {
        let position = match self.missed_in_memory(room, from, true, missed) {
            Some(position) => Some(position),
            None => self.missed_in_store(room, from, missed).await?,
        };
        let reason = if position.is_some() {
            "recovered"
        } else {
            "not_recovered"
        };
        self.metrics
            .resumes
            .get_or_create(&ReasonLabel { reason })
            .inc();
        Ok(position)
    }

    /// What the log has; while it is away, what this node has delivered: whoever resumes stands then
    /// where all others of the room do.
    async fn missed_in_store(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        from: Position,
        missed: &mut Missed,
    ) -> Result<Option<Position>, ServiceError> {
        let before = std::mem::take(missed);
        let ask = async {
            let mut found = before.clone();
            let position = self.missed_in_log(room, from, &mut found).await?;
            Ok((position, found))
        };
        let recall = || {
            let mut found = before.clone();
            let position = self.missed_in_memory(room, from, false, &mut found)?;
            Some((Some(position), found))
        };
        let (position, found) = self.ask_or_recall(ask, recall).await?;
        *missed = found;
        Ok(position)
    }

    /// `surely`: only if it is the log's truth.
    fn missed_in_memory(
        &self,
        room: &RoomHub,
        from: Position,
        surely: bool,
        missed: &mut Missed,
    ) -> Option<Position> {
        let state = room.state.lock();
        let calm = !surely || (self.is_linked() && state.is_calm());
        let feed = state
            .feed
            .as_ref()
            .filter(|feed| calm && feed.has_delivered(&from))?;
        let last = feed.last();
        if last.seq - from.seq > self.limits.resume_distance_max {
            return None;
        }
        if last.seq == from.seq {
            missed.recovered = true;
            return Some(Position {
                epoch: last.epoch,
                ..from
            });
        }
        let mut position = from;
        for delivery in state.tail.above(from.seq)? {
            missed.recovered = true;
            if !missed.push(Arc::clone(delivery), &self.limits) {
                break;
            }
            position = delivery.entry().map_or(position, |entry| entry.position);
        }
        Some(position)
    }

    async fn missed_in_log(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        from: Position,
        missed: &mut Missed,
    ) -> Result<Option<Position>, ServiceError> {
        let mut position = from;
        loop {
            let span = self.read_span(room, position.seq).await?;
            let Some(head) = continues(position, &span, self.limits.resume_distance_max) else {
                *missed = Missed::default();
                return Ok(None);
            };
            missed.recovered = true;
            let before = position;
            for delivery in &span.entries {
                if !missed.push(Arc::clone(delivery), &self.limits) {
                    return Ok(Some(position));
                }
                position = delivery.entry().map_or(position, |entry| entry.position);
            }
            if position.seq >= head.seq {
                let epoch = head.epoch;
                return Ok(Some(Position { epoch, ..position }));
            }
            if position == before {
                let seq = position.seq;
                tracing::error!(room = %room.id, seq, "the log reads nothing below its head");
                return Err(ServiceError::Internal);
            }
        }
    }

    /// What the log has above a seq. Equal reads of a storm are one, and so is their encoding.
    async fn read_span(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        above: u64,
    ) -> Result<Arc<Span>, ServiceError> {
        let (inner, id) = (Arc::clone(self), room.id.clone());
        let read = {
            let mut state = room.state.lock();
            let known = state.newest_known();
            state.resumes.join((above, known), move || {
                async move {
                    let read = inner.read_after(&id, above, READ_ENTRIES_MAX, "resume");
                    read.await.map(|read| Arc::new(read.into()))
                }
                .boxed()
            })
        };
        read.await
    }

    /// A fresh page, and the position that it stands for. `last` is what the feed had delivered
    /// when the connection was registered.
    pub(super) async fn fresh(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        history: Option<usize>,
        last: Position,
        missed: &mut Missed,
    ) -> Result<Position, ServiceError> {
        *missed = Missed::default();
        let calm = self.is_linked() && room.state.lock().is_calm();
        // In doubt the log says where it stands; never below what this node has delivered.
        let position = if calm {
            last
        } else {
            let ask = async { self.stored(self.log.open(&room.id).await) };
            let asked = self.ask_or_recall(ask.map_ok(Some), || Some(None)).await?;
            let head = asked.map(|head| head.position);
            head.filter(|head| head.seq >= last.seq).unwrap_or(last)
        };
        let max = history.unwrap_or(self.limits.history_default).min(PAGE_MAX);
        if max > 0 && position.seq > 0 {
            missed
                .messages
                .clone_from(&self.newest_page(room, position.seq, max).await?.messages);
        }
        Ok(position)
    }

    /// A page, as large as an answer may be. While the log is away, what the tail of a live room has
    /// of it.
    pub(super) async fn page(
        &self,
        room: &RoomId,
        from: PageFrom,
        max: usize,
    ) -> Result<Page, ServiceError> {
        let ask = async { self.stored(self.log.page(room, from, max).await) };
        let recall = || self.rooms.find(room)?.state.lock().tail.page(from, max);
        let mut page = self.ask_or_recall(ask, recall).await?;
        page.trim(from, PAGE_BYTES_MAX);
        Ok(page)
    }

    /// The newest messages up to a seq. Equal reads of a storm are one.
    async fn newest_page(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
        seq: u64,
        max: usize,
    ) -> Result<Arc<Page>, ServiceError> {
        let (inner, id) = (Arc::clone(self), room.id.clone());
        let read = room.state.lock().pages.join((seq, max), move || {
            async move {
                let from = PageFrom::Before(seq.saturating_add(1));
                inner.page(&id, from, max).await.map(Arc::new)
            }
            .boxed()
        });
        read.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;

    fn at(seq: u64) -> Position {
        Position {
            epoch: Epoch(1),
            seq,
            id: EntryId(seq + 100),
        }
    }

    fn read(anchor: Option<EntryId>, head: u64) -> Span {
        let head = Some(Head {
            position: at(head),
            at_ms: 0,
            epoch_start: 0,
        });
        Span {
            anchor,
            entries: Vec::new(),
            head,
        }
    }

    #[test]
    fn a_position_is_good_if_the_log_has_its_id_at_its_seq_whatever_its_epoch() {
        let of_old_epoch = Position {
            epoch: Epoch(9),
            ..at(5)
        };
        assert_eq!(
            continues(of_old_epoch, &read(Some(at(5).id), 7), 10),
            Some(at(7))
        );
    }

    #[test]
    fn a_position_of_another_life_trimmed_or_too_far_behind_is_not_recovered() {
        assert_eq!(continues(at(5), &read(Some(EntryId(1)), 7), 10), None);
        assert_eq!(continues(at(5), &read(None, 7), 10), None);
        assert_eq!(continues(at(5), &read(Some(at(5).id), 4), 10), None);
        assert_eq!(continues(at(5), &read(Some(at(5).id), 16), 10), None);
        assert_eq!(
            continues(
                at(5),
                &Span {
                    head: None,
                    ..read(None, 0)
                },
                10
            ),
            None
        );
    }
}
