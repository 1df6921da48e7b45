//! How a room's members and their own lists of rooms, which are in different places, change
//! together.
//!
//! 1. *Begin*, per user: his list names the room; that something is under way is written down with a
//!    deadline.
//! 2. The room's script changes its members, unless the deadline has passed.
//! 3. *Settle*, per user: the version of his memberships counts up; nothing is under way any more.
//! 4. Of those who are no members after it, the list forgets the room, unless something has begun
//!    since they were looked for.
//!
//! Whoever dies in between leaves a list that names a room too many, which every reader checks with
//! the room and then cleans, and a step whose deadline passes, which counts the version up by itself.

use std::collections::HashSet;

use chat_core::{DirectoryError, RoomId, UserId};

use super::{RedisDirectory, Result};
use crate::limits::{MEMBERSHIP_STEP_KEPT_MS, MEMBERSHIP_STEP_MS};
use crate::script;

/// A change of a room's members that has begun in the lists of those whom it concerns.
#[derive(Debug)]
pub(super) struct Step<'a> {
    directory: &'a RedisDirectory,
    room: &'a RoomId,
    token: String,
    people: Vec<UserId>,
    /// After it, the room's script does nothing (ms of the store's clock).
    pub(super) deadline: u64,
}

impl RedisDirectory {
    /// Begins a step in which these become members of the room, or those cease to be.
    pub(super) async fn begin<'a>(
        &'a self,
        room: &'a RoomId,
        added: Vec<UserId>,
        removed: &[UserId],
    ) -> Result<Step<'a>> {
        let token = format!("{:016x}", fastrand::u64(..));
        let names_room = added.len();
        let mut people = added;
        people.extend_from_slice(removed);
        let user_rooms_max = self.shared.config.user_rooms_max;
        let places: Vec<usize> = (0..people.len()).collect();
        let deadlines: Vec<u64> = self
            .ask_each(&places, |&place| {
                let mut call = script::BEGIN.call(&self.shared.keys.of_user(&people[place]));
                call.arg(&token)
                    .arg(MEMBERSHIP_STEP_MS)
                    .arg(if place < names_room {
                        room.as_str()
                    } else {
                        ""
                    })
                    .arg(user_rooms_max)
                    .arg(MEMBERSHIP_STEP_KEPT_MS);
                call
            })
            .await?;
        let mut step = Step {
            directory: self,
            room,
            token,
            people,
            // Nobody is concerned: then nothing has to be in time.
            deadline: deadlines.iter().copied().min().unwrap_or(1 << 52),
        };
        if step.deadline == 0 {
            let mut began = deadlines.iter().map(|&deadline| deadline > 0);
            step.people.retain(|_| began.next().unwrap_or(false));
            step.undo().await;
            return Err(DirectoryError::TooMany {
                what: "a user's list of rooms",
                limit: user_rooms_max,
            });
        }
        Ok(step)
    }

    /// Takes the room out of the lists of those who are surely no members, each with the version
    /// of his memberships from before he was looked for.
    pub(super) async fn clean(&self, strays: &[(&UserId, &RoomId, u64)]) -> Result<()> {
        let clean = |(user, room, version): &(&UserId, &RoomId, u64)| {
            let mut call = script::CLEAN.call(&self.shared.keys.of_user(user));
            call.arg(room.as_str()).arg(*version);
            call
        };
        self.ask_each::<_, u64>(strays, clean).await.map(|_| ())
    }
}

impl Step<'_> {
    /// Nobody was changed: it ends as if it had not begun.
    pub(super) async fn undo(self) {
        let suspects = self.people.clone();
        self.settle(&[], suspects).await;
    }

    /// The room's script has answered. `changed` are members now and were none before, or the
    /// other way round; `suspects` may be none although their lists name the room.
    ///
    /// The change itself has happened, whatever becomes of this: what it does not come to is done
    /// by the deadline and by those who read.
    pub(super) async fn settle(self, changed: &[UserId], suspects: Vec<UserId>) {
        if let Err(error) = self.try_settle(changed, suspects).await {
            tracing::debug!(room = %self.room, %error, "a change of members is settled by its deadline");
        }
    }

    async fn try_settle(&self, changed: &[UserId], suspects: Vec<UserId>) -> Result<()> {
        let changed: HashSet<&UserId> = changed.iter().collect();
        let keys = &self.directory.shared.keys;
        let settle = |user: &UserId| {
            let mut call = script::SETTLE.call(&[keys.about(user), keys.changing(user)]);
            call.arg(&self.token).arg(u8::from(changed.contains(user)));
            call
        };
        let versions: Vec<u64> = self.directory.ask_each(&self.people, settle).await?;
        if suspects.is_empty() {
            return Ok(());
        }
        // Only now: whoever has come in since has begun since, and the version tells.
        let score = |user: &UserId| {
            let mut score = redis::cmd("ZSCORE");
            score.arg(keys.members(self.room)).arg(user.as_str());
            score
        };
        let suspects: HashSet<UserId> = suspects.into_iter().collect();
        let suspects: Vec<(&UserId, u64)> = self
            .people
            .iter()
            .zip(versions)
            .filter(|(user, _)| suspects.contains(*user))
            .collect();
        let scores: Vec<Option<f64>> = self
            .directory
            .ask_each(&suspects, |(user, _)| score(user))
            .await?;
        let strays: Vec<_> = suspects
            .into_iter()
            .zip(scores)
            .filter(|(_, score)| score.is_none())
            .map(|((user, version), _)| (user, self.room, version))
            .collect();
        self.directory.clean(&strays).await
    }
}
