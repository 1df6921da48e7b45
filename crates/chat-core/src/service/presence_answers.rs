//! Who is there, and how: what presence is asked for. Where the store is away this node answers what
//! it sees itself, and says so.

use crate::answer::{Answer, Online, UserPresence, Users, Who};
use crate::error::ServiceError;
use crate::event::Part;
use crate::ids::{RoomId, UserId};
use crate::limits::{OCCUPANTS_SHOWN, PAGE_MAX, USERS_ASKED_MAX};
use crate::presence::{Occupant, OccupantPage, PresenceError};
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::standing::Standing;

impl Inner {
    /// A page of the people in a room.
    pub(super) async fn who(
        &self,
        connection: &Connection,
        room: &RoomId,
        cursor: Option<String>,
        limit: Option<usize>,
    ) -> Result<Answer, ServiceError> {
        self.access(connection, room).await?;
        let page = self.presence.occupants(room, cursor, page_size(limit));
        let page = self.ask_soon(Part::Presence, page).await;
        let who = match self.answered(page)? {
            Some(OccupantPage {
                count,
                occupants,
                cursor,
            }) => Who {
                count,
                occupants,
                cursor,
                degraded: false,
            },
            None => self.who_is_here(room),
        };
        Ok(Answer::Who(who))
    }

    /// A page of those who are online, newest first. In a room that the user may know; anywhere only
    /// for administrators, except in development.
    pub(super) async fn online(
        &self,
        connection: &Connection,
        room: Option<RoomId>,
        cursor: Option<String>,
        limit: Option<usize>,
    ) -> Result<Answer, ServiceError> {
        match &room {
            Some(room) => drop(self.access(connection, room).await?),
            None if connection.identity().admin || self.authenticator.is_development() => {}
            None => {
                return Err(ServiceError::Forbidden(
                    "online without a room needs the admin claim",
                ));
            }
        }
        let page = self.presence.online(room.clone(), cursor, page_size(limit));
        let page = self.ask_soon(Part::Presence, page).await;
        let online = match self.answered(page)? {
            Some(page) => Online {
                count: page.count,
                users: page.occupants.into_iter().map(|one| one.user).collect(),
                cursor: page.cursor,
                degraded: false,
            },
            None => self.online_here(room.as_ref()),
        };
        Ok(Answer::Online(online))
    }

    /// How users stand, and when those who are offline were last seen.
    pub(super) async fn standings_of(&self, users: Vec<UserId>) -> Result<Answer, ServiceError> {
        if users.len() > USERS_ASKED_MAX {
            return Err(ServiceError::TooLarge {
                field: "users",
                size: users.len(),
                limit: USERS_ASKED_MAX,
            });
        }
        let asked = self.ask_soon(Part::Presence, self.presence.standings(&users));
        let (standings, degraded) = match asked.await {
            Some(Ok(standings)) => (standings, false),
            failed => {
                self.note_presence_away(failed.and_then(Result::err));
                let people = self.people_work.people.lock();
                (users.iter().map(|user| people.here(user)).collect(), true)
            }
        };
        let stands = users.into_iter().zip(standings);
        let mut users: Vec<_> = stands.map(|(user, one)| (user, shown(one))).collect();
        self.add_last_seen(&mut users).await;
        Ok(Answer::Users(Users { users, degraded }))
    }

    async fn add_last_seen(&self, users: &mut [(UserId, UserPresence)]) {
        let mut offline: Vec<_> = users
            .iter_mut()
            .filter(|(_, one)| !one.standing.is_online())
            .collect();
        let ids: Vec<_> = offline.iter().map(|(user, _)| user.clone()).collect();
        if ids.is_empty() {
            return;
        }
        // Where presence is away the store may be as well, and nobody waits for both.
        let asked = self.ask_soon(Part::Presence, self.directory.last_seen(&ids));
        let known = match asked.await {
            Some(Ok(known)) => known,
            failed => {
                let error = failed.and_then(Result::err);
                tracing::debug!(?error, "cannot read when users were last seen");
                vec![None; ids.len()]
            }
        };
        let here = self.people_work.last_seen.lock();
        for ((user, one), known) in offline.iter_mut().zip(known) {
            // What this node saw may not be written yet.
            one.last_seen_at_ms = known.max(here.of(user));
        }
    }

    /// Notes how presence is by what it answered, if it did; `None` if it is away.
    fn answered(
        &self,
        page: Option<Result<OccupantPage, PresenceError>>,
    ) -> Result<Option<OccupantPage>, ServiceError> {
        match page {
            Some(Ok(page)) => {
                self.set_part(Part::Presence, false);
                Ok(Some(page))
            }
            Some(Err(PresenceError::BadCursor)) => Err(ServiceError::bad_request(
                "cursor",
                "is none that this server handed out",
            )),
            failed => {
                self.note_presence_away(failed.and_then(Result::err));
                Ok(None)
            }
        }
    }

    fn note_presence_away(&self, error: Option<PresenceError>) {
        if let Some(error) = error {
            tracing::warn!(%error, "presence does not answer");
            self.set_part(Part::Presence, true);
        }
    }

    /// What this node sees of a room while presence is away: its own people.
    fn who_is_here(&self, room: &RoomId) -> Who {
        let now_ms = self.clock.now_ms();
        let mut users = self.users_in(room);
        let count = users.len() as u64;
        users.truncate(PAGE_MAX);
        let occupants = users.into_iter().map(|user| Occupant {
            user,
            since_ms: now_ms,
        });
        Who {
            count,
            occupants: occupants.collect(),
            cursor: None,
            degraded: true,
        }
    }

    fn online_here(&self, room: Option<&RoomId>) -> Online {
        let mut users = match room {
            Some(room) => self.users_in(room),
            None => self.people_work.people.lock().all_here().cloned().collect(),
        };
        let count = users.len() as u64;
        users.truncate(PAGE_MAX);
        Online {
            count,
            users,
            cursor: None,
            degraded: true,
        }
    }

    /// The people of this node in a room.
    fn users_in(&self, room: &RoomId) -> Vec<UserId> {
        let hub = self.rooms.find(room);
        hub.map_or_else(Vec::new, |hub| {
            let state = hub.state.lock();
            state.attendance.present().cloned().collect()
        })
    }
}

fn page_size(limit: Option<usize>) -> usize {
    limit.unwrap_or(OCCUPANTS_SHOWN).clamp(1, PAGE_MAX)
}

fn shown(standing: Standing) -> UserPresence {
    UserPresence {
        standing,
        last_seen_at_ms: None,
    }
}
